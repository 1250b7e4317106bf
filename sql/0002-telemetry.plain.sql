-- The telemetry table on PostgreSQL without TimescaleDB, range-partitioned by time (UTC).
--
-- Partitions of the days around now are created ahead; any other is created when a row needs it, so a wide time window
-- does not slow down startup. A partition covers one day. For rows far in the past or future it covers the rest of
-- their calendar month or year, so that no sender can create more partitions than one transaction, or one query over
-- all of them, has locks for: a hundred years take at most about 250, and the next year 365 more.

-- A first-release table becomes the partition of everything before tomorrow. Its rows stay in place, except those that
-- no partition can hold (see the end of this file).
DO $$
DECLARE
  kind "char";
  extra text;
BEGIN
  SELECT relkind INTO kind FROM pg_class WHERE oid = to_regclass('public.telemetry');
  IF kind IS NULL THEN
    RETURN;
  END IF;
  IF kind <> 'r' OR EXISTS (
    SELECT FROM pg_inherits WHERE inhparent = 'public.telemetry'::regclass OR inhrelid = 'public.telemetry'::regclass
  ) THEN
    RAISE EXCEPTION 'public.telemetry exists and is not a plain table: rename it, then start again';
  END IF;
  SELECT string_agg(quote_ident(attname), ', ') INTO extra FROM pg_attribute
    WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped
      AND attname NOT IN ('time', 'satellite_id', {{metric_literals}});
  IF extra IS NOT NULL THEN
    RAISE EXCEPTION 'public.telemetry has columns that OrbitStream does not know (%): rename it, then start again',
      extra;
  END IF;
  ALTER TABLE telemetry RENAME TO telemetry_first_release;
END
$$;

CREATE TABLE telemetry (
  "time" timestamptz NOT NULL,
  -- Byte order: COPY delivers rows in the order of the index.
  satellite_id text COLLATE "C" NOT NULL,
  {{metric_columns}}
) PARTITION BY RANGE ("time");

-- Each COPY is sorted by satellite and time, so a page holds few satellites and one page per range is the most
-- selective.
CREATE INDEX telemetry_satellite_id_time_brin ON telemetry
  USING brin (satellite_id, "time") WITH (pages_per_range = 1);
-- For "all satellites, last seconds": coarse, so the scan of the index is instant however large the table.
CREATE INDEX telemetry_time_brin ON telemetry USING brin ("time") WITH (pages_per_range = 32);

-- Partitions of a table with their bounds; an open or unparsable bound is an infinity.
CREATE FUNCTION orbitstream_partitions_of (parent regclass)
RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' SET search_path = public, pg_temp AS $$
  SELECT c.relname::text,
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity'),
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity')
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = parent AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
$$;

CREATE FUNCTION orbitstream_partitions () RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT * FROM orbitstream_partitions_of('telemetry')
$$;

-- Fills each gap of a table between two times with one partition, and returns their names. Attaching an empty table
-- does not wait for running COPYs, as CREATE TABLE … PARTITION OF would.
CREATE FUNCTION orbitstream_fill_partitions (parent text, from_time timestamptz, to_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' SET search_path = public, pg_temp AS $$
DECLARE
  gap tstzrange;
  partition text;
BEGIN
  FOR gap IN
    SELECT unnest(tstzmultirange(tstzrange(from_time, to_time))
                  - coalesce(range_agg(tstzrange(p.lower_bound, p.upper_bound)), '{}'))
    FROM orbitstream_partitions_of(parent::regclass) p
  LOOP
    partition := parent || '_p'
      || CASE WHEN isfinite(lower(gap)) THEN to_char(lower(gap), 'YYYYMMDD') ELSE '_first' END;
    -- The name may belong to a detached partition, or to a year BC.
    WHILE to_regclass(quote_ident(partition)) IS NOT NULL LOOP
      partition := partition || '_';
    END LOOP;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, partition,
      CASE WHEN isfinite(lower(gap)) THEN quote_literal(lower(gap)) ELSE 'MINVALUE' END,
      CASE WHEN isfinite(upper(gap)) THEN quote_literal(upper(gap)) ELSE 'MAXVALUE' END);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- The given times for which at least one table lacks a partition.
CREATE FUNCTION orbitstream_without_partition (times timestamptz[]) RETURNS SETOF timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  WITH covered AS MATERIALIZED (
    SELECT range_intersect_agg(ranges) AS ranges
    FROM (
      SELECT coalesce(range_agg(tstzrange(p.lower_bound, p.upper_bound)) FILTER (WHERE p.name IS NOT NULL), '{}')
               AS ranges
      FROM unnest(ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry']) parent
      LEFT JOIN LATERAL orbitstream_partitions_of(parent::regclass) p ON true GROUP BY parent
    ) of_each
  )
  SELECT t FROM unnest(times) t, covered WHERE NOT t <@ covered.ranges ORDER BY t
$$;

-- Creates the partitions that the given times need, for at most spans_max spans, and returns their names; no names:
-- none is missing. Rollups and anomalies get a partition wherever telemetry has one, and before it: a query planned
-- before a partition was attached may run after rows have moved into it, and would miss them.
CREATE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  t timestamptz;
  unit text;
  span tstzrange;
  spans tstzmultirange := '{}';
  parent text;
BEGIN
  -- Several hosts may call this at once. ATTACH takes this lock too, and writers do not wait for it.
  LOCK TABLE ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR t IN SELECT * FROM orbitstream_without_partition(times) LOOP
    CONTINUE WHEN t <@ spans;
    IF NOT isfinite(t) THEN
      RAISE EXCEPTION 'no partition for %', t USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT tstzrange(p.lower_bound, p.upper_bound) INTO span
      FROM orbitstream_partitions() p WHERE p.lower_bound <= t AND p.upper_bound > t;
    IF NOT FOUND THEN
      -- Two months by the day, since retention is usually a number of days; then two years by the month.
      unit := CASE WHEN t BETWEEN now() - interval '62 days' AND now() + interval '62 days' THEN 'day'
                   WHEN t BETWEEN now() - interval '730 days' AND now() + interval '730 days' THEN 'month'
                   ELSE 'year' END;
      SELECT tstzrange(greatest(date_trunc(unit, t), max(p.upper_bound) FILTER (WHERE p.upper_bound <= t)),
                       least(date_trunc(unit, t) + ('1 ' || unit)::interval,
                             min(p.lower_bound) FILTER (WHERE p.lower_bound > t)))
        INTO span FROM orbitstream_partitions() p;
    END IF;
    FOREACH parent IN ARRAY ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry'] LOOP
      RETURN QUERY SELECT * FROM orbitstream_fill_partitions(parent, lower(span), upper(span));
    END LOOP;
    spans := spans + tstzmultirange(span);
    spans_max := spans_max - 1;
    EXIT WHEN spans_max <= 0;
  END LOOP;
END
$$;

-- Drops at most tables_max partitions whose rows are all older than a time, oldest first, and returns their names.
CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  partition text;
BEGIN
  LOCK TABLE ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR partition IN
    SELECT p.name
    FROM unnest(ARRAY['telemetry', 'anomalies']) parent, LATERAL orbitstream_partitions_of(parent::regclass) p
    WHERE p.upper_bound <= before_time ORDER BY p.upper_bound, parent DESC LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- What dropping expired partitions locks: those of the given tables whose rows are all older than a time, and their
-- parents. NULL: older than all of telemetry.
CREATE FUNCTION orbitstream_expired (parents text[], before_time timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT DISTINCT unnest(ARRAY[parent, p.name])
  FROM unnest(parents) parent, orbitstream_partitions_of(parent::regclass) p
  WHERE p.upper_bound <= coalesce(before_time, (SELECT min(lower_bound) FROM orbitstream_partitions()))
$$;

-- Completes the adoption of a first-release table.
DO $$
DECLARE
  -- Hours, not a day: the session may observe daylight saving time.
  tomorrow constant timestamptz := date_trunc('day', now(), 'UTC') + interval '24 hours';
  wrong record;
  metric record;
  day timestamptz;
BEGIN
  IF to_regclass('public.telemetry_first_release') IS NULL THEN
    RETURN;
  END IF;
  PERFORM set_config('timezone', 'UTC', true);
  LOCK TABLE telemetry_first_release IN ACCESS EXCLUSIVE MODE;

  -- Match the columns of the new table. Columns that already match stay untouched: views may depend on them.
  FOR metric IN SELECT * FROM (VALUES {{metric_types}}) m (name, type) LOOP
    EXECUTE format('ALTER TABLE telemetry_first_release ADD COLUMN IF NOT EXISTS %I %s', metric.name, metric.type);
    EXECUTE format('ALTER TABLE telemetry_first_release ALTER COLUMN %I DROP NOT NULL', metric.name);
  END LOOP;
  FOR wrong IN
    SELECT n.attname AS name, format_type(n.atttypid, n.atttypmod) AS type,
           CASE WHEN n.attname = 'satellite_id' THEN ' COLLATE "C"' ELSE '' END AS collation
    FROM pg_attribute n JOIN pg_attribute o ON o.attname = n.attname
    WHERE n.attrelid = 'telemetry'::regclass AND o.attrelid = 'telemetry_first_release'::regclass
      AND n.attnum > 0 AND NOT o.attisdropped
      AND (n.atttypid, n.atttypmod, n.attcollation) IS DISTINCT FROM (o.atttypid, o.atttypmod, o.attcollation)
  LOOP
    EXECUTE format('ALTER TABLE telemetry_first_release ALTER COLUMN %1$I TYPE %2$s%3$s USING %1$I::%2$s',
      wrong.name, wrong.type, wrong.collation);
  END LOOP;

  -- Rows that no partition can hold are quarantined.
  WITH homeless AS (
    DELETE FROM telemetry_first_release t
    WHERE t."time" IS NULL OR t.satellite_id IS NULL OR t."time" >= tomorrow + interval '1000 days'
    RETURNING to_jsonb(t) AS row
  )
  INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row)
    SELECT 'first-release', 0, 0, '23514',
           'row of the first release without time or satellite, or too far in the future', row
    FROM homeless;

  -- Rows of coming days move to daily partitions.
  FOR day IN
    SELECT DISTINCT date_trunc('day', "time", 'UTC') FROM telemetry_first_release WHERE "time" >= tomorrow
  LOOP
    PERFORM orbitstream_fill_partitions('telemetry', day, day + interval '24 hours');
  END LOOP;
  WITH early AS (
    DELETE FROM telemetry_first_release WHERE "time" >= tomorrow RETURNING "time", satellite_id, {{metric_names}}
  )
  INSERT INTO telemetry ("time", satellite_id, {{metric_names}}) SELECT * FROM early;

  ALTER TABLE telemetry_first_release ALTER COLUMN "time" SET NOT NULL, ALTER COLUMN satellite_id SET NOT NULL;
  EXECUTE format(
    'ALTER TABLE telemetry ATTACH PARTITION telemetry_first_release FOR VALUES FROM (MINVALUE) TO (%L)', tomorrow);
END
$$;
