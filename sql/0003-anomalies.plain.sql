-- Anomalies on PostgreSQL without TimescaleDB: in daily partitions that are made and dropped together with telemetry's.

CREATE TABLE anomalies (
  -- Of the point.
  "time" timestamptz NOT NULL,
  satellite_id text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  value double precision NOT NULL,
  -- The limit that was broken, how bad that is, and on which side.
  limit_value double precision NOT NULL,
  severity text COLLATE "C" NOT NULL,
  side text COLLATE "C" NOT NULL,
  -- Version of the limits that judged, see limits_history.
  limits_version bigint NOT NULL
) PARTITION BY RANGE ("time");

CREATE INDEX anomalies_time ON anomalies ("time");
CREATE INDEX anomalies_satellite_id_time ON anomalies (satellite_id, "time");
-- Of the two severities one may be rare: neither is found by walking past the other.
CREATE INDEX anomalies_severity_time ON anomalies (severity, "time");

-- Partitions of any table with their bounds; a bound that is open or unknown is an infinity.
CREATE FUNCTION orbitstream_partitions_of (parent regclass) RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' SET search_path = public, pg_temp AS $$
  SELECT c.relname::text,
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity'),
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity')
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
$$;

CREATE OR REPLACE FUNCTION orbitstream_partitions () RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT * FROM orbitstream_partitions_of('telemetry')
$$;

-- As before, for telemetry and anomalies.
CREATE OR REPLACE FUNCTION orbitstream_ensure_partitions (from_time timestamptz, to_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  parent text;
  day timestamptz;
  partition text;
BEGIN
  -- A wild time must not make partitions without end.
  IF to_time - from_time > interval '4000 days' OR NOT isfinite(from_time) OR NOT isfinite(to_time) THEN
    RAISE EXCEPTION 'no partitions from % to %: more than 4000 days', from_time, to_time USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Several hosts may call this at once.
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  FOREACH parent IN ARRAY ARRAY['telemetry', 'anomalies'] LOOP
    day := date_trunc('day', from_time);
    WHILE day <= to_time LOOP
      partition := parent || '_p' || to_char(day, 'YYYYMMDD');
      IF NOT EXISTS (SELECT FROM orbitstream_partitions_of(parent::regclass) p WHERE p.lower_bound < day + interval '1 day' AND p.upper_bound > day) THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, partition, day, day + interval '1 day');
        RETURN NEXT partition;
      END IF;
      day := day + interval '1 day';
    END LOOP;
  END LOOP;
END
$$;

-- As before, for telemetry and anomalies.
CREATE OR REPLACE FUNCTION orbitstream_drop_partitions (before_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  parent text;
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  FOREACH parent IN ARRAY ARRAY['telemetry', 'anomalies'] LOOP
    FOR partition IN SELECT p.name FROM orbitstream_partitions_of(parent::regclass) p WHERE p.upper_bound <= before_time ORDER BY p.upper_bound LOOP
      EXECUTE format('DROP TABLE %I', partition);
      RETURN NEXT partition;
    END LOOP;
  END LOOP;
END
$$;

-- Where telemetry has a partition of a day, anomalies get theirs.
DO $$
DECLARE
  day timestamptz;
BEGIN
  PERFORM set_config('timezone', 'UTC', true);
  FOR day IN SELECT lower_bound FROM orbitstream_partitions() WHERE isfinite(lower_bound) LOOP
    PERFORM orbitstream_ensure_partitions(day, day);
  END LOOP;
END
$$;
