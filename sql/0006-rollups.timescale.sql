-- Run again when the catalogue of metrics grows.
--
-- Rollups of 10 seconds and a minute as continuous aggregates, and views that add the newest rows. Their policies follow
-- the configuration at each start. Made anew they are empty, and filled again in the background.

DROP VIEW IF EXISTS telemetry_1m, telemetry_10s, orbitstream_all_10s;
DROP MATERIALIZED VIEW IF EXISTS rollup_1m;
DROP MATERIALIZED VIEW IF EXISTS rollup_10s;

-- Not "real-time" themselves: a refresh of the minutes would read the ten seconds through that view, and ask for the
-- watermark once for each row of telemetry. 600,000 rows took 15 s so, against 0.04 s.
CREATE MATERIALIZED VIEW rollup_10s WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
  SELECT time_bucket(interval '10 seconds', "time") AS bucket, satellite_id, count(*) AS points, {{rollup_named_from_raw}}
  FROM telemetry GROUP BY 1, 2 WITH NO DATA;

CREATE MATERIALIZED VIEW rollup_1m WITH (timescaledb.continuous, timescaledb.materialized_only = true) AS
  SELECT time_bucket(interval '1 minute', bucket) AS bucket, satellite_id, sum(points)::bigint AS points, {{rollup_named_from_rollup}}
  FROM rollup_10s GROUP BY 1, 2 WITH NO DATA;

-- As real-time aggregates do it, but the watermark is asked for once.
DO $$
DECLARE
  -- Up to where each is filled; before the first refresh: nowhere.
  until_10s text;
  until_1m text;
BEGIN
  SELECT max(asked) FILTER (WHERE user_view_name = 'rollup_10s'), max(asked) FILTER (WHERE user_view_name = 'rollup_1m') INTO until_10s, until_1m
  FROM (
    SELECT user_view_name, format('(SELECT coalesce(_timescaledb_functions.to_timestamp(_timescaledb_functions.cagg_watermark(%s)), ''-infinity''))', mat_hypertable_id) AS asked
    FROM _timescaledb_catalog.continuous_agg WHERE user_view_schema = 'public'
  ) a;
  EXECUTE format($sql$
    CREATE VIEW orbitstream_all_10s AS
      SELECT bucket, satellite_id, points, {{rollup_names}} FROM rollup_10s WHERE bucket < %1$s
      UNION ALL
      SELECT time_bucket(interval '10 seconds', "time"), satellite_id, count(*), {{rollup_from_raw}}
      FROM telemetry
      -- Both bounds, and neither known beforehand: the planner then takes it for a small part, and uses the index on time.
      WHERE "time" >= %1$s AND "time" <= (SELECT forever FROM rollup_state) GROUP BY 1, 2
  $sql$, until_10s);
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

-- Asked by whoever stores rows, in the same transaction and after them; true: some are late, and the newest row of each
-- satellite must be stored in satellites_late too. Only buckets that are too old for the policies are entered.
CREATE OR REPLACE FUNCTION orbitstream_note_rows (lowest timestamptz, buckets timestamptz[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  until timestamptz;
BEGIN
  -- Any user of the server can take this lock. Rows are not kept waiting for one who does: they are noted as late ones.
  IF pg_try_advisory_xact_lock_shared({{writer_lock}}) THEN
    -- A statement of its own, which sees what was committed before the lock was taken.
    SELECT closing INTO until FROM rollup_state;
    IF lowest >= until THEN
      RETURN false;
    END IF;
  END IF;
  INSERT INTO rollup_dirty (bucket) SELECT b FROM unnest(buckets) b WHERE b < now() - {{rollup_late_after}};
  RETURN true;
END
$$;

-- Enters each minute of a span of which telemetry has a chunk; the others have no rows.
CREATE OR REPLACE FUNCTION orbitstream_enter_span (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  INSERT INTO rollup_dirty (bucket)
  SELECT DISTINCT m FROM timescaledb_information.chunks, generate_series(
    time_bucket('1 minute', greatest(range_start, from_time)), least(range_end - interval '1 microsecond', to_time), interval '1 minute') m
  WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry' AND range_end > from_time AND range_start <= to_time
$$;

-- Second step of the primary: takes over the newest points before `closing`. There is never more to do.
CREATE OR REPLACE FUNCTION orbitstream_roll_up (buckets_max integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  state rollup_state;
BEGIN
  -- One host at a time.
  IF NOT pg_try_advisory_xact_lock({{rollup_lock}}) THEN
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

-- Spans of minutes, the newest first, that the policies do not reach, with all their entries, to remove once the spans are
-- refreshed. However many entries a minute has, it counts once.
CREATE OR REPLACE FUNCTION orbitstream_late_rollups (buckets_max integer) RETURNS TABLE (from_time timestamptz, to_time timestamptz, ids bigint[])
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  -- Full minutes: a refresh leaves out buckets that its span does not hold whole. One look into the index for each.
  WITH RECURSIVE minutes AS (
    SELECT 1 AS number, (SELECT time_bucket('1 minute', max(bucket)) FROM rollup_dirty WHERE bucket < now() - {{rollup_late_after}}) AS m
    UNION ALL
    SELECT number + 1, (SELECT time_bucket('1 minute', max(bucket)) FROM rollup_dirty WHERE bucket < m)
    FROM minutes WHERE m IS NOT NULL AND number < buckets_max / 6
  )
  SELECT min(m), max(m) + interval '1 minute', array_agg(id)
  FROM (SELECT m, m + number * interval '1 minute' AS run FROM minutes) numbered
  JOIN rollup_dirty ON bucket >= m AND bucket < m + interval '1 minute'
  GROUP BY run ORDER BY 1 DESC
$$;

-- Policies drop rollups; this forgets what telemetry has nothing of any more. Whatever the width.
CREATE OR REPLACE FUNCTION orbitstream_drop_rollups (width text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (SELECT min(range_start) FROM timescaledb_information.chunks WHERE hypertable_schema = 'public' AND hypertable_name = 'telemetry');
BEGIN
  -- Doing a bucket again that has no rows any more would empty it.
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- Rows that were there before: rollups are made anew in the background. The newest are entered too: nobody knows when the
-- policies run first.
DO $$
DECLARE
  until constant timestamptz := time_bucket('10 seconds', now() - interval '1 minute');
  hour timestamptz;
BEGIN
  INSERT INTO rollup_dirty (bucket)
    SELECT DISTINCT time_bucket(interval '1 minute', "time") FROM telemetry WHERE isfinite("time");
  IF NOT EXISTS (SELECT FROM rollup_state) THEN
    INSERT INTO rollup_state (closing, latest_watermark, watermark) VALUES (until, until, until);
    -- Hour by hour: what is looked at in one piece is held at once. From the newest, so that few satellites are written twice.
    FOR hour IN SELECT DISTINCT time_bucket('1 hour', bucket) FROM rollup_dirty WHERE bucket < until ORDER BY 1 DESC LOOP
      PERFORM orbitstream_note_latest(hour, least(hour + interval '1 hour', until));
    END LOOP;
  END IF;
END
$$;
