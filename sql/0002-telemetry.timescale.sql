-- The telemetry table on TimescaleDB: a hypertable whose chunks are compressed and dropped by age. Chunk interval and
-- policies are synced with the configuration at each start.

-- A first-release table, plain or a hypertable, is adopted in place.
DO $$
DECLARE
  kind "char";
  extra text;
BEGIN
  SELECT relkind INTO kind FROM pg_class WHERE oid = to_regclass('public.telemetry');
  IF kind IS NULL THEN
    RETURN;
  END IF;
  IF kind <> 'r' OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'public.telemetry'::regclass) THEN
    RAISE EXCEPTION
      'public.telemetry exists and is neither a plain table nor a hypertable: rename it, then start again';
  END IF;
  SELECT string_agg(quote_ident(attname), ', ') INTO extra FROM pg_attribute
    WHERE attrelid = 'public.telemetry'::regclass AND attnum > 0 AND NOT attisdropped
      AND attname NOT IN ('time', 'satellite_id', {{metric_literals}});
  IF extra IS NOT NULL THEN
    RAISE EXCEPTION 'public.telemetry has columns that OrbitStream does not know (%): rename it, then start again',
      extra;
  END IF;
END
$$;

CREATE TABLE IF NOT EXISTS telemetry (
  "time" timestamptz NOT NULL,
  -- Byte order: COPY delivers rows in the order of the index.
  satellite_id text COLLATE "C" NOT NULL,
  {{metric_columns}}
);

DO $$
DECLARE
  is_hypertable boolean;
  is_compressed boolean;
  wanted record;
  metric record;
  span interval;
BEGIN
  LOCK TABLE telemetry IN ACCESS EXCLUSIVE MODE;
  SELECT count(*) > 0, coalesce(bool_or(compression_enabled), false) INTO is_hypertable, is_compressed
    FROM timescaledb_information.hypertables WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry';
  FOR metric IN SELECT * FROM (VALUES {{metric_types}}) m (name, type) LOOP
    EXECUTE format('ALTER TABLE telemetry ADD COLUMN IF NOT EXISTS %I %s', metric.name, metric.type);
    IF EXISTS (
      SELECT FROM pg_attribute WHERE attrelid = 'telemetry'::regclass AND attname = metric.name AND attnotnull
    ) THEN
      EXECUTE format('ALTER TABLE telemetry ALTER COLUMN %I DROP NOT NULL', metric.name);
    END IF;
  END LOOP;

  -- Columns that already match stay untouched: views may depend on them.
  FOR wanted IN
    SELECT a.attname AS name, w.type, w.collation,
           a.atttypid NOT IN ('text'::regtype, 'varchar'::regtype) OR w.type <> 'text' AS unreadable
    FROM pg_attribute a, LATERAL (
      SELECT CASE a.attname
               WHEN 'time' THEN 'timestamp with time zone'
               WHEN 'satellite_id' THEN 'text'
               ELSE (SELECT type FROM (VALUES {{metric_types}}) m (name, type) WHERE m.name = a.attname)
             END AS type,
             CASE a.attname WHEN 'satellite_id' THEN ' COLLATE "C"' ELSE '' END AS collation
    ) w
    WHERE a.attrelid = 'telemetry'::regclass AND a.attnum > 0 AND NOT a.attisdropped
      AND (format_type(a.atttypid, a.atttypmod) <> w.type
           OR (a.attname = 'satellite_id'
               AND a.attcollation <> (SELECT oid FROM pg_collation WHERE collname = 'C')))
  LOOP
    IF NOT is_compressed THEN
      EXECUTE format('ALTER TABLE telemetry ALTER COLUMN %1$I TYPE %2$s%3$s USING %1$I::%2$s',
        wanted.name, wanted.type, wanted.collation);
    ELSIF wanted.unreadable THEN
      RAISE EXCEPTION '%', format('column %s of public.telemetry must be %s, and a compressed hypertable cannot be '
        'changed: decompress its chunks and turn its compression off, then start again', wanted.name, wanted.type);
    END IF;
    -- Text in another collation works too; the index is only slightly less selective.
  END LOOP;

  -- Rows that no chunk can hold are quarantined.
  IF NOT is_hypertable OR EXISTS (SELECT FROM telemetry WHERE satellite_id IS NULL) THEN
    WITH homeless AS (
      DELETE FROM telemetry t
      WHERE t."time" IS NULL OR t.satellite_id IS NULL OR NOT isfinite(t."time")
         OR t."time" >= now() + interval '1000 days'
      RETURNING to_jsonb(t) AS row
    )
    INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row)
      SELECT 'first-release', 0, 0, '23514',
             'row of the first release without time or satellite, or too far in the future', row
      FROM homeless;
  END IF;
  IF EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = 'telemetry'::regclass AND attname IN ('time', 'satellite_id') AND NOT attnotnull
  ) THEN
    ALTER TABLE telemetry ALTER COLUMN "time" SET NOT NULL, ALTER COLUMN satellite_id SET NOT NULL;
  END IF;

  IF NOT is_hypertable THEN
    -- Years of rows must not create more chunks than one transaction can lock.
    SELECT coalesce(max("time") - min("time"), interval '0') / 500 INTO span FROM telemetry;
    PERFORM create_hypertable('telemetry', by_range('time', greatest(span, interval '1 hour')),
      create_default_indexes => false, migrate_data => true);
  END IF;
  IF NOT is_compressed THEN
    ALTER TABLE telemetry SET (
      timescaledb.compress, timescaledb.compress_segmentby = 'satellite_id', timescaledb.compress_orderby = '"time"'
    );
  END IF;
END
$$;

-- Each COPY is sorted by satellite and time, so a page holds few satellites and one page per range is the most
-- selective.
CREATE INDEX telemetry_satellite_id_time_brin ON telemetry
  USING brin (satellite_id, "time") WITH (pages_per_range = 1);
-- For "all satellites, last seconds": coarse, so the scan of the index is instant however large the table.
CREATE INDEX telemetry_time_brin ON telemetry USING brin ("time") WITH (pages_per_range = 32);

-- TimescaleDB creates chunks itself, and a policy drops them: no-ops for callers that serve both kinds of server.
CREATE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';
CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';
CREATE FUNCTION orbitstream_expired (parents text[], before_time timestamptz) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';
