-- Run again when the catalogue of metrics grows.
--
-- In place of 0013: sums that no value makes overflow, and locks as in 0020. Aggregates that lack a metric, or have other
-- sums, are made anew, empty, and filled again in the background.

DROP VIEW IF EXISTS telemetry_1m, telemetry_10s, orbitstream_all_10s;

DO $$
BEGIN
  IF to_regclass('rollup_1m') IS NOT NULL AND NOT EXISTS (
    SELECT FROM unnest(ARRAY[{{metric_literals}}]) metric
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('rollup_1m') AND attname = metric || '_sum')
  ) AND (SELECT view_definition LIKE '%Infinity%' FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'public' AND view_name = 'rollup_10s') THEN
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
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET datestyle = 'ISO'
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

-- Asked by whoever stores rows, in the same transaction and after them; true: some are late, and the newest row of each
-- satellite must be stored in satellites_late too. Only buckets that are too old for the policies are entered.
CREATE OR REPLACE FUNCTION orbitstream_note_rows (lowest timestamptz, buckets timestamptz[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  until timestamptz;
BEGIN
  -- By this the primary knows who may still commit, see orbitstream_writers. Nothing here takes a lock that excludes it.
  LOCK TABLE rollup_dirty IN ROW SHARE MODE;
  -- A statement of its own, which sees what was committed before the lock was taken.
  SELECT closing INTO until FROM rollup_state;
  IF lowest >= until THEN
    RETURN false;
  END IF;
  INSERT INTO rollup_dirty (bucket) SELECT b FROM unnest(buckets) b WHERE b < now() - {{rollup_late_after}};
  RETURN true;
END
$$;

-- Second step of the primary: takes over the newest points before `closing`. There is never more to do.
CREATE OR REPLACE FUNCTION orbitstream_roll_up (buckets_max integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  state rollup_state;
BEGIN
  -- One host at a time.
  IF NOT orbitstream_lock_roll_up() THEN
    RETURN false;
  END IF;
  SELECT * INTO state FROM rollup_state;
  IF NOT orbitstream_await_writers() THEN
    RETURN false;
  END IF;
  IF state.closing > state.latest_watermark THEN
    PERFORM orbitstream_note_latest(state.latest_watermark, state.closing);
  END IF;
  -- After a pause the policies may have gone past what was theirs to do before it, and past rows that were not yet late
  -- by a `closing` from before it. Both are done again once they are old enough.
  IF state.closing > state.latest_watermark + interval '10 minutes' THEN
    PERFORM orbitstream_enter_span(state.latest_watermark - {{rollup_late_after}} - interval '30 minutes', state.closing);
  END IF;
  PERFORM orbitstream_note_late();
  UPDATE rollup_state SET watermark = time_bucket('10 seconds', state.closing), latest_watermark = state.closing;
  RETURN false;
END
$$;

-- Policies drop rollups; this forgets what telemetry has nothing of any more, whatever the width. In place of that of 0018.
CREATE OR REPLACE FUNCTION orbitstream_drop_rollups (width text, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (SELECT min(range_start) FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry');
BEGIN
  -- Doing a bucket again that has no rows any more would empty it.
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM rollup_failed WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- Entries before it may be worked on: those after it the policies still reach.
CREATE OR REPLACE FUNCTION orbitstream_done_until () RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$ SELECT time_bucket('1 minute', now() - {{rollup_refresh_after}}) $$;

-- A policy drops chunks: this does nothing, and stands here for whoever knows only plain PostgreSQL.
CREATE OR REPLACE FUNCTION orbitstream_expired (parents text[], before_time timestamptz) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';
