-- Run again when the catalogue of metrics grows.
--
-- Rollups of 10 seconds and 1 minute as continuous aggregates, and views that add the newest rows. Refresh policies are
-- synced with the configuration at each start. Aggregates that lack a metric are recreated empty, and filled again in
-- the background.

-- Notes each minute of a time range for which telemetry has a chunk; other minutes have no rows.
CREATE OR REPLACE FUNCTION orbitstream_enter_span (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  INSERT INTO rollup_dirty (bucket)
  SELECT DISTINCT m FROM timescaledb_information.chunks, generate_series(
    time_bucket('1 minute', greatest(range_start, from_time)), least(range_end - interval '1 microsecond', to_time),
    interval '1 minute') m
  WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry'
    AND range_end > from_time AND range_start <= to_time
$$;

DO $$
BEGIN
  IF to_regclass('rollup_1m') IS NOT NULL AND NOT EXISTS (
    SELECT FROM unnest(ARRAY[{{metric_literals}}]) metric
    WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('rollup_1m') AND attname = metric || '_count')
  ) THEN
    RETURN;
  END IF;
  DROP VIEW IF EXISTS telemetry_1m, telemetry_10s, orbitstream_all_10s;
  DROP MATERIALIZED VIEW IF EXISTS rollup_1m;
  DROP MATERIALIZED VIEW IF EXISTS rollup_10s;
  -- Not "real-time": to refresh minutes TimescaleDB would read the ten-second view, and evaluate its watermark for each
  -- row of telemetry. For 600,000 rows that took 15 s instead of 0.04 s.
  CREATE MATERIALIZED VIEW rollup_10s WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT time_bucket(interval '10 seconds', "time") AS bucket, satellite_id, count(*) AS points,
           {{rollup_named_from_raw}}
    FROM telemetry GROUP BY 1, 2 WITH NO DATA;
  CREATE MATERIALIZED VIEW rollup_1m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
    SELECT time_bucket(interval '1 minute', bucket) AS bucket, satellite_id, sum(points)::bigint AS points,
           {{rollup_named_from_rollup}}
    FROM rollup_10s GROUP BY 1, 2 WITH NO DATA;
  IF EXISTS (SELECT FROM rollup_state) THEN
    -- By chunk: telemetry is locked here, and reading all of it to find the minutes with rows would take too long.
    PERFORM orbitstream_enter_span('-infinity', 'infinity');
  END IF;
END
$$;

-- The views read the watermarks from their table, in the snapshot of the query: TimescaleDB's function looks them up
-- anew on each call, and a refresh that commits in between would leave a gap. Before the first refresh a watermark is
-- too early for interval arithmetic.
DO $$
DECLARE
  filled_10s text;
  filled_1m text;
  until_1m text;
BEGIN
  SELECT max(asked) FILTER (WHERE user_view_name = 'rollup_10s'), max(asked) FILTER (WHERE user_view_name = 'rollup_1m')
    INTO filled_10s, filled_1m
  FROM (
    SELECT user_view_name, format($sql$(
      SELECT coalesce(
        max(greatest(_timescaledb_functions.to_timestamp(watermark), timestamptz '0001-01-01 00:00Z')), '-infinity')
      FROM _timescaledb_catalog.continuous_aggs_watermark WHERE mat_hypertable_id = %s
    )$sql$, mat_hypertable_id) AS asked
    FROM _timescaledb_catalog.continuous_agg WHERE user_view_schema = 'public'
  ) a;
  -- The last filled minute may lack ten-second buckets that were filled after it. Earlier minutes are complete, unless
  -- the ten-second rollups themselves are behind.
  until_1m := format($sql$(SELECT least(%s - interval '1 minute', time_bucket('1 minute', %s)))$sql$,
    filled_1m, filled_10s);
  EXECUTE format($sql$
    CREATE OR REPLACE VIEW orbitstream_all_10s AS
      SELECT bucket, satellite_id, points, {{rollup_names}} FROM rollup_10s WHERE bucket < %1$s
      UNION ALL
      SELECT time_bucket(interval '10 seconds', "time"), satellite_id, count(*), {{rollup_from_raw}}
      FROM telemetry
      -- Two bounds, both unknown at planning time: the planner then assumes a small range, and uses the index on time.
      WHERE "time" >= %1$s AND "time" <= (SELECT forever FROM rollup_state) GROUP BY 1, 2
  $sql$, filled_10s);
  CREATE OR REPLACE VIEW telemetry_10s AS
    SELECT bucket, satellite_id, points, {{rollup_shown}} FROM orbitstream_all_10s;
  EXECUTE format($sql$
    CREATE OR REPLACE VIEW telemetry_1m AS
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

-- Time ranges of full minutes before a time that the policies no longer refresh, newest first, with the ids of all
-- their entries, which are deleted once the range is refreshed. A minute counts once, however many entries it has.
CREATE OR REPLACE FUNCTION orbitstream_late_rollups (buckets_max integer, before timestamptz)
RETURNS TABLE (from_time timestamptz, to_time timestamptz, ids bigint[])
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  -- Full minutes: a refresh skips buckets that its range does not cover completely. One index lookup for each.
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

-- Whether the rollups of a range of full minutes match telemetry; sums, which depend on the order of addition, are not
-- compared. A refresh may return before it has done its work, or without having done any.
CREATE OR REPLACE FUNCTION orbitstream_is_rolled_up (from_time timestamptz, to_time timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp SET datestyle = 'ISO'
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  same boolean;
BEGIN
  -- Literals, so that chunks are pruned before any is opened.
  EXECUTE format($sql$
    SELECT stored IS NOT DISTINCT FROM tens AND stored IS NOT DISTINCT FROM minutes
    FROM (
      SELECT ROW(count(*), {{rollup_checked_from_raw}}) AS stored
      FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L
    ) t, (
      SELECT ROW(coalesce(sum(points), 0)::bigint, {{rollup_checked_from_rollup}}) AS tens
      FROM rollup_10s WHERE bucket >= %1$L AND bucket < %2$L
    ) r, (
      SELECT ROW(coalesce(sum(points), 0)::bigint, {{rollup_checked_from_rollup}}) AS minutes
      FROM rollup_1m WHERE bucket >= %1$L AND bucket < %2$L
    ) m
  $sql$, from_time, to_time) INTO same;
  RETURN same;
END
$$;

-- Called by writers after their rows, in the same transaction. True: some rows are late, and the newest of each
-- satellite must be stored in satellites_late too. Only buckets too old for the policies are noted.
CREATE OR REPLACE FUNCTION orbitstream_note_rows (lowest timestamptz, buckets timestamptz[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  until timestamptz;
BEGIN
  -- Shows the primary who may still commit, see orbitstream_writers. Nothing here takes a conflicting lock.
  LOCK TABLE rollup_dirty IN ROW SHARE MODE;
  -- A separate statement, which sees what was committed before the lock was taken.
  SELECT closing INTO until FROM rollup_state;
  IF lowest >= until THEN
    RETURN false;
  END IF;
  INSERT INTO rollup_dirty (bucket) SELECT b FROM unnest(buckets) b WHERE b < now() - {{rollup_late_after}};
  RETURN true;
END
$$;

-- Second step of the primary: merges the newest points before `closing`. There is never more to do.
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
  -- After a pause the policies may have skipped work that was due before it, and rows that the `closing` from before it
  -- did not make late. Both ranges are refreshed once they are old enough.
  IF state.closing > state.latest_watermark + interval '10 minutes' THEN
    PERFORM orbitstream_enter_span(
      state.latest_watermark - {{rollup_late_after}} - interval '30 minutes', state.closing);
  END IF;
  PERFORM orbitstream_note_late();
  UPDATE rollup_state SET watermark = time_bucket('10 seconds', state.closing), latest_watermark = state.closing;
  RETURN false;
END
$$;

-- Policies drop rollups; this forgets what telemetry no longer covers, whatever the width.
CREATE OR REPLACE FUNCTION orbitstream_drop_rollups (width text, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (
    SELECT min(range_start) FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry'
  );
BEGIN
  -- Refilling a bucket whose rows are gone would empty it.
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM rollup_failed WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- Entries before this time may be refilled: the policies still refresh later ones.
CREATE OR REPLACE FUNCTION orbitstream_done_until () RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp
AS $$ SELECT time_bucket('1 minute', now() - {{rollup_refresh_after}}) $$;

-- Rows of an adopted table: rollups are built in the background. The newest are noted too: nobody knows when the
-- policies first run.
DO $$
DECLARE
  until constant timestamptz := time_bucket('10 seconds', now() - interval '1 minute');
  hour timestamptz;
BEGIN
  IF NOT EXISTS (SELECT FROM rollup_state) THEN
    INSERT INTO rollup_state (closing, latest_watermark, watermark) VALUES (until, until, until);
    INSERT INTO rollup_dirty (bucket)
      SELECT DISTINCT time_bucket(interval '1 minute', "time") FROM telemetry WHERE isfinite("time");
    -- Hour by hour, to bound memory. Newest first, so that few satellites are written twice.
    FOR hour IN
      SELECT DISTINCT time_bucket('1 hour', bucket) FROM rollup_dirty WHERE bucket < until ORDER BY 1 DESC
    LOOP
      PERFORM orbitstream_note_latest(hour, least(hour + interval '1 hour', until));
    END LOOP;
  END IF;
END
$$;
