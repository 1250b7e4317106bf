-- Run again when the catalogue of metrics grows.
--
-- In place of 0006: views whose parts fit whatever the policies have done, and late spans that are only done when that shows.
-- Aggregates that lack a metric are made anew, empty, and filled again in the background.

DROP VIEW IF EXISTS telemetry_1m, telemetry_10s, orbitstream_all_10s;

DO $$
BEGIN
  IF to_regclass('rollup_1m') IS NOT NULL AND NOT EXISTS (
    SELECT FROM unnest(ARRAY[{{metric_literals}}]) metric
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('rollup_1m') AND attname = metric || '_sum')
  ) THEN
    RETURN;
  END IF;
  DROP MATERIALIZED VIEW IF EXISTS rollup_1m;
  DROP MATERIALIZED VIEW IF EXISTS rollup_10s;
  CREATE MATERIALIZED VIEW rollup_10s WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT time_bucket(interval '10 seconds', "time") AS bucket, satellite_id, count(*) AS points, {{rollup_named_from_raw}}
    FROM telemetry GROUP BY 1, 2 WITH NO DATA;
  CREATE MATERIALIZED VIEW rollup_1m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT time_bucket(interval '1 minute', bucket) AS bucket, satellite_id, sum(points)::bigint AS points, {{rollup_named_from_rollup}}
    FROM rollup_10s GROUP BY 1, 2 WITH NO DATA;
  -- By chunks: telemetry is locked here, and reading all of it to know which minutes have rows would take long.
  PERFORM orbitstream_enter_span('-infinity', 'infinity');
END
$$;

-- The watermarks are read as a table, with the snapshot of the query: the function that tells them looks anew each time, and
-- a refresh that commits in between would leave a gap. Before the first refresh they are too early to be reckoned with.
DO $$
DECLARE
  filled_10s text;
  filled_1m text;
  until_1m text;
BEGIN
  SELECT max(asked) FILTER (WHERE user_view_name = 'rollup_10s'), max(asked) FILTER (WHERE user_view_name = 'rollup_1m') INTO filled_10s, filled_1m
  FROM (
    SELECT user_view_name, format($sql$(
      SELECT coalesce(max(greatest(_timescaledb_functions.to_timestamp(watermark), timestamptz '0001-01-01 00:00Z')), '-infinity')
      FROM _timescaledb_catalog.continuous_aggs_watermark WHERE mat_hypertable_id = %s
    )$sql$, mat_hypertable_id) AS asked
    FROM _timescaledb_catalog.continuous_agg WHERE user_view_schema = 'public'
  ) a;
  -- The last minute that is filled may lack what the ten seconds got since. Of those before it none does, unless the ten
  -- seconds are behind it themselves.
  until_1m := format($sql$(SELECT least(%s - interval '1 minute', time_bucket('1 minute', %s)))$sql$, filled_1m, filled_10s);
  EXECUTE format($sql$
    CREATE VIEW orbitstream_all_10s AS
      SELECT bucket, satellite_id, points, {{rollup_names}} FROM rollup_10s WHERE bucket < %1$s
      UNION ALL
      SELECT time_bucket(interval '10 seconds', "time"), satellite_id, count(*), {{rollup_from_raw}}
      FROM telemetry
      -- Both bounds, and neither known beforehand: the planner then takes it for a small part, and uses the index on time.
      WHERE "time" >= %1$s AND "time" <= (SELECT forever FROM rollup_state) GROUP BY 1, 2
  $sql$, filled_10s);
  CREATE VIEW telemetry_10s AS
    SELECT bucket, satellite_id, points, {{rollup_shown}} FROM orbitstream_all_10s;
  EXECUTE format($sql$
    CREATE VIEW telemetry_1m AS
      SELECT bucket, satellite_id, points, {{rollup_shown}}
      FROM (
        SELECT bucket, satellite_id, points, {{rollup_names}} FROM rollup_1m WHERE bucket < %1$s
        UNION ALL
        SELECT time_bucket(interval '1 minute', bucket), satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
        FROM orbitstream_all_10s WHERE bucket >= %1$s GROUP BY 1, 2
      ) rolled_up
  $sql$, until_1m);
END
$$;

DROP FUNCTION IF EXISTS orbitstream_late_rollups (integer);

-- Spans of minutes before a time, the newest first, that the policies do not reach any more, with all their entries, to
-- remove once the spans are refreshed. However many entries a minute has, it counts once.
CREATE OR REPLACE FUNCTION orbitstream_late_rollups (buckets_max integer, before timestamptz)
RETURNS TABLE (from_time timestamptz, to_time timestamptz, ids bigint[])
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  -- Full minutes: a refresh leaves out buckets that its span does not hold whole. One look into the index for each.
  WITH RECURSIVE minutes AS (
    SELECT 1 AS number, (SELECT time_bucket('1 minute', max(bucket)) FROM rollup_dirty
                         WHERE bucket < least(before, time_bucket('1 minute', now() - {{rollup_refresh_after}}))) AS m
    UNION ALL
    SELECT number + 1, (SELECT time_bucket('1 minute', max(bucket)) FROM rollup_dirty WHERE bucket < m)
    FROM minutes WHERE m IS NOT NULL AND number < buckets_max / 6
  )
  SELECT min(m), max(m) + interval '1 minute', array_agg(id)
  FROM (SELECT m, m + number * interval '1 minute' AS run FROM minutes) numbered
  JOIN rollup_dirty ON bucket >= m AND bucket < m + interval '1 minute'
  GROUP BY run ORDER BY 1 DESC
$$;

-- Whether the rollups of full minutes are those of telemetry; sums are left out, which depend on the order. A refresh may
-- return without having done anything, or anything yet.
CREATE OR REPLACE FUNCTION orbitstream_is_rolled_up (from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  same boolean;
BEGIN
  -- With the values in the text: chunks are then skipped before any is opened.
  EXECUTE format($sql$
    SELECT stored IS NOT DISTINCT FROM tens AND stored IS NOT DISTINCT FROM minutes
    FROM (SELECT ROW(count(*), {{rollup_checked_from_raw}}) AS stored FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L) t,
         (SELECT ROW(coalesce(sum(points), 0)::bigint, {{rollup_checked_from_rollup}}) AS tens FROM rollup_10s WHERE bucket >= %1$L AND bucket < %2$L) r,
         (SELECT ROW(coalesce(sum(points), 0)::bigint, {{rollup_checked_from_rollup}}) AS minutes FROM rollup_1m WHERE bucket >= %1$L AND bucket < %2$L) m
  $sql$, from_time, to_time) INTO same;
  RETURN same;
END
$$;
