-- Run again when the catalogue of metrics grows.
--
-- What TimescaleDB provides, on PostgreSQL without it: time_bucket, and rollups of 10 seconds and 1 minute under the
-- names of the continuous aggregates.

-- TimescaleDB's origin: a Monday. Widths in months are not supported. An extension's own time_bucket stays.
DO $$
BEGIN
  IF to_regprocedure('time_bucket(interval, timestamptz)') IS NULL THEN
    CREATE FUNCTION time_bucket (bucket_width interval, ts timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $sql$ SELECT date_bin(bucket_width, ts, timestamptz '2000-01-03 00:00:00+00') $sql$;
  END IF;
END
$$;

-- Sums, not averages: a minute is the total of its six parts.
CREATE TABLE IF NOT EXISTS rollup_10s (
  bucket timestamptz NOT NULL,
  satellite_id text COLLATE "C" NOT NULL,
  points bigint NOT NULL,
  PRIMARY KEY (satellite_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE INDEX IF NOT EXISTS rollup_10s_bucket ON rollup_10s (bucket);
ALTER TABLE rollup_10s {{rollup_add_columns}};

CREATE TABLE IF NOT EXISTS rollup_1m (
  LIKE rollup_10s INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (satellite_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE INDEX IF NOT EXISTS rollup_1m_bucket ON rollup_1m (bucket);
ALTER TABLE rollup_1m {{rollup_add_columns}};

-- A bucket that cannot be rolled up is recorded and skipped, and the others continue. failed_width: 10s or 1m.
CREATE OR REPLACE FUNCTION orbitstream_note_failed (
  failed_width text, failed_bucket timestamptz, state text, message text
) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET datestyle = 'ISO' AS $$
BEGIN
  EXECUTE format('DELETE FROM %I WHERE bucket = %L', 'rollup_' || failed_width, failed_bucket);
  INSERT INTO rollup_failed (width, bucket, sqlstate, reason)
    VALUES (failed_width, failed_bucket, state, message)
    ON CONFLICT (width, bucket) DO UPDATE
      SET sqlstate = excluded.sqlstate, reason = excluded.reason, failed_at = excluded.failed_at;
END
$$;

-- Whether the stored data causes an error: bad values, rows too long, damaged pages. Others may affect every bucket.
CREATE OR REPLACE FUNCTION orbitstream_is_of_data (state text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT left(state, 2) IN ('22', '23') OR state IN ('54000', 'XX001', 'XX002') $$;

-- Aggregates telemetry into rollup_10s; both times are bucket boundaries. The plan does not depend on statistics. The
-- usual case, one bucket every ten seconds, does not compute the bucket of each row.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_10s (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET datestyle = 'ISO'
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  one constant boolean := to_time = from_time + interval '10 seconds';
  half constant timestamptz := time_bucket('10 seconds', from_time + (to_time - from_time) / 2);
BEGIN
  EXECUTE format($sql$
    INSERT INTO rollup_10s (bucket, satellite_id, points, {{rollup_names}})
    SELECT %3$s, satellite_id, count(*), {{rollup_from_raw}}
    FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L GROUP BY %4$s
    ON CONFLICT (satellite_id, bucket) DO UPDATE SET points = excluded.points, {{rollup_excluded}}
  $sql$, from_time, to_time,
    CASE WHEN one THEN format('timestamptz %L', from_time) ELSE $b$time_bucket('10 seconds', "time")$b$ END,
    CASE WHEN one THEN 'satellite_id' ELSE '1, 2' END);
  DELETE FROM rollup_failed WHERE width = '10s' AND bucket >= from_time AND bucket < to_time;
EXCEPTION WHEN OTHERS THEN
  IF NOT orbitstream_is_of_data(SQLSTATE) THEN
    RAISE;
  ELSIF one THEN
    PERFORM orbitstream_note_failed('10s', from_time, SQLSTATE, SQLERRM);
  ELSE
    PERFORM orbitstream_roll_up_10s(from_time, half);
    PERFORM orbitstream_roll_up_10s(half, to_time);
  END IF;
END
$$;

-- Aggregates rollup_10s into rollup_1m; both times are full minutes.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_1m (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET datestyle = 'ISO'
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  half constant timestamptz := time_bucket('1 minute', from_time + (to_time - from_time) / 2);
BEGIN
  EXECUTE format($sql$
    INSERT INTO rollup_1m (bucket, satellite_id, points, {{rollup_names}})
    SELECT time_bucket('1 minute', bucket), satellite_id, sum(points), {{rollup_from_rollup}}
    FROM rollup_10s WHERE bucket >= %L AND bucket < %L GROUP BY 1, 2
    ON CONFLICT (satellite_id, bucket) DO UPDATE SET points = excluded.points, {{rollup_excluded}}
  $sql$, from_time, to_time);
  DELETE FROM rollup_failed WHERE width = '1m' AND bucket >= from_time AND bucket < to_time;
EXCEPTION WHEN OTHERS THEN
  IF NOT orbitstream_is_of_data(SQLSTATE) THEN
    RAISE;
  ELSIF to_time = from_time + interval '1 minute' THEN
    PERFORM orbitstream_note_failed('1m', from_time, SQLSTATE, SQLERRM);
  ELSE
    PERFORM orbitstream_roll_up_1m(from_time, half);
    PERFORM orbitstream_roll_up_1m(half, to_time);
  END IF;
END
$$;

-- Called by writers after their rows, in the same transaction. True: some rows are late, and the newest of each
-- satellite must be stored in satellites_late too.
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
  INSERT INTO rollup_dirty (bucket) SELECT b FROM unnest(buckets) b WHERE b < time_bucket('10 seconds', until);
  RETURN true;
END
$$;

-- Second step of the primary: rolls up at most buckets_max buckets before `closing`; true: there is more to do.
CREATE OR REPLACE FUNCTION orbitstream_roll_up (buckets_max integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  state rollup_state;
  target timestamptz;
  until timestamptz;
BEGIN
  -- One host at a time.
  IF NOT orbitstream_lock_roll_up() THEN
    RETURN false;
  END IF;
  SELECT * INTO state FROM rollup_state;
  IF NOT orbitstream_await_writers() THEN
    RETURN false;
  END IF;
  target := time_bucket('10 seconds', state.closing);
  until := least(target, state.watermark + buckets_max * interval '10 seconds');
  IF until > state.watermark THEN
    -- Entries before rows: what commits in between is still noted, and done again.
    DELETE FROM rollup_dirty WHERE bucket >= state.watermark AND bucket < until;
    PERFORM orbitstream_roll_up_10s(state.watermark, until);
    IF time_bucket('1 minute', until) > time_bucket('1 minute', state.watermark) THEN
      PERFORM orbitstream_roll_up_1m(time_bucket('1 minute', state.watermark), time_bucket('1 minute', until));
    END IF;
  END IF;
  IF state.closing > state.latest_watermark THEN
    PERFORM orbitstream_note_latest(state.latest_watermark, state.closing);
  END IF;
  PERFORM orbitstream_note_late();
  UPDATE rollup_state SET watermark = until, latest_watermark = state.closing;
  RETURN until < target;
END
$$;

-- Refills at most buckets_max buckets before a time that received late rows, newest first; true: there is more to do.
-- Only the holder of the lock of orbitstream_roll_up may ask for buckets of the current minute.
CREATE OR REPLACE FUNCTION orbitstream_fill_rollups (buckets_max integer, before timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  done_until timestamptz;
  dirty timestamptz[];
  island record;
BEGIN
  -- Held until the transaction ends: whoever reads rows later must also write their rollups later.
  PERFORM FROM rollup_filler FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT watermark INTO done_until FROM rollup_state;
  dirty := ARRAY(
    SELECT DISTINCT bucket FROM rollup_dirty
    WHERE bucket < least(before, done_until) ORDER BY bucket DESC LIMIT buckets_max
  );
  -- Entries before rows, as above.
  DELETE FROM rollup_dirty WHERE bucket = ANY (dirty);
  FOR island IN
    SELECT min(b) AS from_time, max(b) + interval '10 seconds' AS to_time
    FROM (SELECT b, b - row_number() OVER (ORDER BY b) * interval '10 seconds' AS run FROM unnest(dirty) b) numbered
    GROUP BY run
  LOOP
    -- Rows may have been deleted, too.
    DELETE FROM rollup_10s WHERE bucket >= island.from_time AND bucket < island.to_time;
    PERFORM orbitstream_roll_up_10s(island.from_time, island.to_time);
  END LOOP;
  FOR island IN
    SELECT min(m) AS from_time, max(m) + interval '1 minute' AS to_time
    FROM (
      SELECT m, m - row_number() OVER (ORDER BY m) * interval '1 minute' AS run
      FROM (SELECT DISTINCT time_bucket('1 minute', b) AS m FROM unnest(dirty) b) minutes
      WHERE m < time_bucket('1 minute', done_until)
    ) numbered GROUP BY run
  LOOP
    DELETE FROM rollup_1m WHERE bucket >= island.from_time AND bucket < island.to_time;
    PERFORM orbitstream_roll_up_1m(island.from_time, island.to_time);
  END LOOP;
  RETURN cardinality(dirty) = buckets_max;
END
$$;

-- Third step of the primary.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_again (buckets_max integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  RETURN orbitstream_lock_roll_up() AND orbitstream_fill_rollups(buckets_max, 'infinity');
END
$$;

-- Entries before this time may be refilled.
CREATE OR REPLACE FUNCTION orbitstream_done_until () RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$ SELECT watermark FROM rollup_state $$;

-- Drops at most tables_max partitions of the rollups of one width, 10s or 1m, for days that telemetry no longer covers,
-- and returns their names; also forgets satellites. One table per call: dropping from two at once could deadlock with a
-- query that reads both.
CREATE OR REPLACE FUNCTION orbitstream_drop_rollups (width text, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (SELECT min(lower_bound) FROM orbitstream_partitions());
  partition text;
BEGIN
  FOR partition IN
    SELECT p.name FROM orbitstream_partitions_of(('rollup_' || width)::regclass) p
    WHERE p.upper_bound <= kept_from ORDER BY p.upper_bound LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM rollup_failed WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- The views read the watermark through subqueries, which are evaluated once; a function would be called for each row.
-- NOT EXISTS rather than NOT IN, which uses a hash table only if the planner expects it to fit into work_mem: beyond
-- some 260,000 entries, which a backlog produces, it would scan all of them for each bucket.

-- Buckets before the watermark, exactly as in telemetry: those with late rows since are read from it.
CREATE OR REPLACE VIEW orbitstream_rolled_up_10s AS
  SELECT bucket, satellite_id, points, {{rollup_names}}
  FROM rollup_10s
  WHERE bucket < (SELECT watermark FROM rollup_state)
    AND NOT EXISTS (SELECT FROM rollup_dirty d WHERE d.bucket = rollup_10s.bucket)
  UNION ALL
  SELECT dirty.bucket, again.*
  FROM (SELECT DISTINCT bucket FROM rollup_dirty WHERE bucket < (SELECT watermark FROM rollup_state)) dirty
  CROSS JOIN LATERAL (
    SELECT satellite_id, count(*), {{rollup_from_raw}}
    FROM telemetry WHERE "time" >= dirty.bucket AND "time" < dirty.bucket + interval '10 seconds' GROUP BY satellite_id
  ) again;

CREATE OR REPLACE VIEW orbitstream_all_10s AS
  SELECT bucket, satellite_id, points, {{rollup_names}} FROM orbitstream_rolled_up_10s
  UNION ALL
  SELECT time_bucket('10 seconds', "time"), satellite_id, count(*), {{rollup_from_raw}}
  FROM telemetry
  -- Two bounds, both unknown at planning time: the planner then assumes a small range, and uses the index on time.
  WHERE "time" >= (SELECT watermark FROM rollup_state) AND "time" <= (SELECT forever FROM rollup_state) GROUP BY 1, 2;

CREATE OR REPLACE VIEW telemetry_10s AS
  SELECT bucket, satellite_id, points, {{rollup_shown}} FROM orbitstream_all_10s;

CREATE OR REPLACE VIEW telemetry_1m AS
  SELECT bucket, satellite_id, points, {{rollup_shown}}
  FROM (
    SELECT bucket, satellite_id, points, {{rollup_names}}
    FROM rollup_1m
    WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))
      -- The same condition twice: equality for a hash table of all entries, a range for the index if the query covers
      -- few minutes.
      AND NOT EXISTS (
        SELECT FROM rollup_dirty d
        WHERE time_bucket('1 minute', d.bucket) = rollup_1m.bucket
          AND d.bucket >= rollup_1m.bucket AND d.bucket < rollup_1m.bucket + interval '1 minute'
      )
    UNION ALL
    SELECT dirty.bucket, again.*
    FROM (
      SELECT DISTINCT time_bucket('1 minute', bucket) AS bucket
      FROM rollup_dirty WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))
    ) dirty
    CROSS JOIN LATERAL (
      SELECT satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
      FROM orbitstream_rolled_up_10s
      WHERE bucket >= dirty.bucket AND bucket < dirty.bucket + interval '1 minute' GROUP BY satellite_id
    ) again
    UNION ALL
    SELECT time_bucket('1 minute', bucket), satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
    FROM orbitstream_all_10s
    WHERE bucket >= time_bucket('1 minute', (SELECT watermark FROM rollup_state)) GROUP BY 1, 2
  ) rolled_up;

-- Rows of an adopted table: their buckets are read from telemetry until the primary has rolled them up.
DO $$
DECLARE
  until constant timestamptz := time_bucket('10 seconds', now() - interval '1 minute');
BEGIN
  IF NOT EXISTS (SELECT FROM rollup_state) THEN
    INSERT INTO rollup_state (closing, latest_watermark, watermark) VALUES (until, until, until);
    INSERT INTO rollup_dirty (bucket)
      SELECT DISTINCT time_bucket('10 seconds', "time") FROM telemetry WHERE "time" < until AND isfinite("time");
    PERFORM orbitstream_note_latest('-infinity', until);
    -- Rollups and anomalies get the partitions that telemetry has: that of an adopted table has no lower bound.
    PERFORM orbitstream_make_partitions(ARRAY(
      SELECT CASE WHEN isfinite(lower_bound) THEN lower_bound ELSE upper_bound - interval '1 second' END
      FROM orbitstream_partitions()
    ), 10000);
  END IF;
END
$$;
