-- The telemetry table on PostgreSQL without TimescaleDB: one partition a day (UTC), made ahead and dropped by age.

-- A table of the first release becomes the partition of everything before tomorrow. Its rows stay where they are;
-- only those that cannot lie in a partition move (see the end).
DO $$
DECLARE
  kind "char";
  extra text;
BEGIN
  SELECT relkind INTO kind FROM pg_class WHERE oid = to_regclass('public.telemetry');
  IF kind IS NULL THEN
    RETURN;
  END IF;
  IF kind <> 'r' OR EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'public.telemetry'::regclass OR inhrelid = 'public.telemetry'::regclass) THEN
    RAISE EXCEPTION 'public.telemetry exists and is not a plain table: rename it, then start again';
  END IF;
  SELECT string_agg(quote_ident(attname), ', ') INTO extra FROM pg_attribute
    WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped
      AND attname NOT IN ('time', 'satellite_id', {{metric_literals}});
  IF extra IS NOT NULL THEN
    RAISE EXCEPTION 'public.telemetry exists with columns that OrbitStream does not know (%): rename it, then start again', extra;
  END IF;
  ALTER TABLE telemetry RENAME TO telemetry_first_release;
END
$$;

CREATE TABLE telemetry (
  "time" timestamptz NOT NULL,
  -- By bytes: the order in which COPY brings the rows is the order of the index.
  satellite_id text COLLATE "C" NOT NULL,
  {{metric_columns}}
) PARTITION BY RANGE ("time");

-- Each COPY is sorted by satellite and time, so a page holds few satellites: one page a range tells them apart best.
CREATE INDEX telemetry_satellite_id_time_brin ON telemetry USING brin (satellite_id, "time") WITH (pages_per_range = 1);

-- Partitions of a table with their bounds; a bound that is open or unknown is an infinity.
CREATE FUNCTION orbitstream_partitions () RETURNS TABLE (name text, lower_bound timestamptz, upper_bound timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' SET datestyle = 'ISO' SET search_path = public, pg_temp AS $$
  SELECT c.relname::text,
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz, '-infinity'),
         coalesce(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz, 'infinity')
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'telemetry'::regclass AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
$$;

-- Makes the daily partitions that are missing between two times, and gives their names. Attaching an empty table
-- does not wait for COPYs that are under way, as CREATE TABLE … PARTITION OF would.
CREATE FUNCTION orbitstream_ensure_partitions (from_time timestamptz, to_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  day timestamptz := date_trunc('day', from_time);
  partition text;
BEGIN
  -- A wild time must not make partitions without end.
  IF to_time - from_time > interval '4000 days' OR NOT isfinite(from_time) OR NOT isfinite(to_time) THEN
    RAISE EXCEPTION 'no partitions from % to %: more than 4000 days', from_time, to_time USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Several hosts may call this at once.
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  WHILE day <= to_time LOOP
    partition := 'telemetry_p' || to_char(day, 'YYYYMMDD');
    IF NOT EXISTS (SELECT FROM orbitstream_partitions() p WHERE p.lower_bound < day + interval '1 day' AND p.upper_bound > day) THEN
      EXECUTE format('CREATE TABLE %I (LIKE telemetry INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition);
      EXECUTE format('ALTER TABLE telemetry ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition, day, day + interval '1 day');
      RETURN NEXT partition;
    END IF;
    day := day + interval '1 day';
  END LOOP;
END
$$;

-- Drops the partitions that hold nothing younger than a time, and gives their names.
CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  FOR partition IN SELECT p.name FROM orbitstream_partitions() p WHERE p.upper_bound <= before_time ORDER BY p.upper_bound LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- The rest of the adoption.
DO $$
DECLARE
  -- Hours, not a day: the session may keep summer time.
  tomorrow constant timestamptz := date_trunc('day', now(), 'UTC') + interval '24 hours';
  wrong record;
  metric text;
  day date;
BEGIN
  IF to_regclass('public.telemetry_first_release') IS NULL THEN
    RETURN;
  END IF;
  PERFORM set_config('timezone', 'UTC', true);
  LOCK TABLE telemetry_first_release IN ACCESS EXCLUSIVE MODE;

  -- Columns as the new table has them. Those that are right already stay untouched: views may depend on them.
  FOREACH metric IN ARRAY ARRAY[{{metric_literals}}] LOOP
    EXECUTE format('ALTER TABLE telemetry_first_release ADD COLUMN IF NOT EXISTS %I double precision', metric);
    EXECUTE format('ALTER TABLE telemetry_first_release ALTER COLUMN %I DROP NOT NULL', metric);
  END LOOP;
  FOR wrong IN
    SELECT quote_ident(n.attname) AS name, format_type(n.atttypid, n.atttypmod) AS type,
           CASE WHEN n.attname = 'satellite_id' THEN ' COLLATE "C"' ELSE '' END AS collation
    FROM pg_attribute n JOIN pg_attribute o ON o.attname = n.attname
    WHERE n.attrelid = 'telemetry'::regclass AND o.attrelid = 'telemetry_first_release'::regclass
      AND n.attnum > 0 AND NOT o.attisdropped
      AND (n.atttypid, n.atttypmod, n.attcollation) IS DISTINCT FROM (o.atttypid, o.atttypmod, o.attcollation)
  LOOP
    EXECUTE format('ALTER TABLE telemetry_first_release ALTER COLUMN %1$s TYPE %2$s%3$s USING %1$s::%2$s', wrong.name, wrong.type, wrong.collation);
  END LOOP;

  -- Rows that no partition can hold are kept where people find them.
  WITH homeless AS (
    DELETE FROM telemetry_first_release t
    WHERE t."time" IS NULL OR t.satellite_id IS NULL OR t."time" >= tomorrow + interval '1000 days'
    RETURNING to_jsonb(t) AS row
  )
  INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row)
    SELECT 'first-release', 0, 0, '23514', 'row of the first release without time or satellite, or too far in the future', row FROM homeless;

  -- Rows of the days to come go to the partitions of their days.
  FOR day IN SELECT DISTINCT ("time" AT TIME ZONE 'UTC')::date FROM telemetry_first_release WHERE "time" >= tomorrow LOOP
    PERFORM orbitstream_ensure_partitions(day::timestamptz, day::timestamptz);
  END LOOP;
  WITH early AS (
    DELETE FROM telemetry_first_release WHERE "time" >= tomorrow RETURNING "time", satellite_id, {{metric_names}}
  )
  INSERT INTO telemetry ("time", satellite_id, {{metric_names}}) SELECT * FROM early;

  ALTER TABLE telemetry_first_release ALTER COLUMN "time" SET NOT NULL, ALTER COLUMN satellite_id SET NOT NULL;
  EXECUTE format('ALTER TABLE telemetry ATTACH PARTITION telemetry_first_release FOR VALUES FROM (MINVALUE) TO (%L)', tomorrow);
END
$$;
