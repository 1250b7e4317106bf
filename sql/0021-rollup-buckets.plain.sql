-- Run again when the catalogue of metrics grows.
--
-- In place of parts of 0006, 0011, 0012 and 0018: sums that no value makes overflow, buckets that fail alone, and locks as in 0020.

-- As in 0018, under a lock of telemetry. Rollups and anomalies have their partitions wherever telemetry has one, and before it:
-- a query that was planned before a partition was attached may run after rows have moved into it, and would miss them.
CREATE OR REPLACE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  t timestamptz;
  unit text;
  span tstzrange;
  spans tstzmultirange := '{}';
  parent text;
BEGIN
  -- Several hosts may call this at once. ATTACH takes this lock as well, and whoever stores rows does not wait for it.
  LOCK TABLE ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR t IN SELECT * FROM orbitstream_without_partition(times) LOOP
    CONTINUE WHEN t <@ spans;
    IF NOT isfinite(t) THEN
      RAISE EXCEPTION 'no partition for %', t USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT tstzrange(p.lower_bound, p.upper_bound) INTO span FROM orbitstream_partitions() p WHERE p.lower_bound <= t AND p.upper_bound > t;
    IF NOT FOUND THEN
      -- Two months by the day: the retention that people have is kept by the day. Then two years by the month.
      unit := CASE WHEN t BETWEEN now() - interval '62 days' AND now() + interval '62 days' THEN 'day'
                   WHEN t BETWEEN now() - interval '730 days' AND now() + interval '730 days' THEN 'month'
                   ELSE 'year' END;
      SELECT tstzrange(greatest(date_trunc(unit, t), max(p.upper_bound) FILTER (WHERE p.upper_bound <= t)),
                       least(date_trunc(unit, t) + ('1 ' || unit)::interval, min(p.lower_bound) FILTER (WHERE p.lower_bound > t)))
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

-- As in 0018, under the same lock.
CREATE OR REPLACE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  partition text;
BEGIN
  LOCK TABLE ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR partition IN
    SELECT p.name FROM unnest(ARRAY['telemetry', 'anomalies']) parent, LATERAL orbitstream_partitions_of(parent::regclass) p
    WHERE p.upper_bound <= before_time ORDER BY p.upper_bound, parent DESC LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- Partitions of some tables that hold nothing younger than a time, and these tables: what dropping them locks. Without a
-- time: than the oldest of telemetry.
CREATE OR REPLACE FUNCTION orbitstream_expired (parents text[], before_time timestamptz) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  SELECT DISTINCT unnest(ARRAY[parent, p.name])
  FROM unnest(parents) parent, orbitstream_partitions_of(parent::regclass) p
  WHERE p.upper_bound <= coalesce(before_time, (SELECT min(lower_bound) FROM orbitstream_partitions()))
$$;

-- A bucket that cannot be rolled up costs itself alone: it is noted, left out, and the others go on. @width 10s or 1m
CREATE OR REPLACE FUNCTION orbitstream_note_failed (failed_width text, failed_bucket timestamptz, state text, message text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp SET datestyle = 'ISO' AS $$
BEGIN
  EXECUTE format('DELETE FROM %I WHERE bucket = %L', 'rollup_' || failed_width, failed_bucket);
  INSERT INTO rollup_failed (width, bucket, sqlstate, reason) VALUES (failed_width, failed_bucket, state, message)
    ON CONFLICT (width, bucket) DO UPDATE SET sqlstate = excluded.sqlstate, reason = excluded.reason, failed_at = excluded.failed_at;
END
$$;

-- Whether an error lies in what is stored: wrong values, damaged pages. Others may meet every bucket.
CREATE OR REPLACE FUNCTION orbitstream_is_of_data (state text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$ SELECT left(state, 2) IN ('22', '23') OR state IN ('XX001', 'XX002') $$;

-- Aggregates telemetry into rollup_10s; from and to are borders of buckets. The plan is the same whatever statistics say. One
-- bucket, which is what is due every ten seconds, is not asked for each row which bucket it belongs to.
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

-- Aggregates rollup_10s into rollup_1m; from and to are full minutes.
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

-- Asked by whoever stores rows, in the same transaction and after them; true: some are late, and the newest row of each
-- satellite must be stored in satellites_late too.
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
  INSERT INTO rollup_dirty (bucket) SELECT b FROM unnest(buckets) b WHERE b < time_bucket('10 seconds', until);
  RETURN true;
END
$$;

-- Second step of the primary: takes over what lies before `closing`, at most so many buckets; true: there is more to do.
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
    -- First the entries, then the rows: what commits in between is entered still, and done again.
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

-- Does buckets before a time again that got late rows, the newest first, at most so many; true: there is more to do. Of the
-- minute under way nothing may be asked for by whoever does not hold the lock of orbitstream_roll_up.
CREATE OR REPLACE FUNCTION orbitstream_fill_rollups (buckets_max integer, before timestamptz) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  done_until timestamptz;
  dirty timestamptz[];
  island record;
BEGIN
  -- To the end of the transaction: who reads rows later must also be the one who writes their rollups later.
  PERFORM FROM rollup_filler FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT watermark INTO done_until FROM rollup_state;
  dirty := ARRAY(SELECT DISTINCT bucket FROM rollup_dirty WHERE bucket < least(before, done_until) ORDER BY bucket DESC LIMIT buckets_max);
  -- First the entries, as above.
  DELETE FROM rollup_dirty WHERE bucket = ANY (dirty);
  FOR island IN
    SELECT min(b) AS from_time, max(b) + interval '10 seconds' AS to_time
    FROM (SELECT b, b - row_number() OVER (ORDER BY b) * interval '10 seconds' AS run FROM unnest(dirty) b) numbered GROUP BY run
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

-- Entries before it may be worked on.
CREATE OR REPLACE FUNCTION orbitstream_done_until () RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$ SELECT watermark FROM rollup_state $$;

-- As in 0018, and forgets buckets that failed.
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

CREATE OR REPLACE VIEW orbitstream_rolled_up_10s AS
  SELECT bucket, satellite_id, points, {{rollup_names}}
  FROM rollup_10s WHERE bucket < (SELECT watermark FROM rollup_state) AND NOT EXISTS (SELECT FROM rollup_dirty d WHERE d.bucket = rollup_10s.bucket)
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
  -- Both bounds, and neither known beforehand: the planner then takes it for a small part, and uses the index on time.
  WHERE "time" >= (SELECT watermark FROM rollup_state) AND "time" <= (SELECT forever FROM rollup_state) GROUP BY 1, 2;

CREATE OR REPLACE VIEW telemetry_10s AS
  SELECT bucket, satellite_id, points, {{rollup_shown}} FROM orbitstream_all_10s;

CREATE OR REPLACE VIEW telemetry_1m AS
  SELECT bucket, satellite_id, points, {{rollup_shown}}
  FROM (
    SELECT bucket, satellite_id, points, {{rollup_names}}
    FROM rollup_1m
    WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))
      -- The same said twice: equality for a hash table of all entries, the range for the index, where few minutes are asked for.
      AND NOT EXISTS (
        SELECT FROM rollup_dirty d
        WHERE time_bucket('1 minute', d.bucket) = rollup_1m.bucket AND d.bucket >= rollup_1m.bucket AND d.bucket < rollup_1m.bucket + interval '1 minute')
    UNION ALL
    SELECT dirty.bucket, again.*
    FROM (SELECT DISTINCT time_bucket('1 minute', bucket) AS bucket FROM rollup_dirty WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))) dirty
    CROSS JOIN LATERAL (
      SELECT satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
      FROM orbitstream_rolled_up_10s WHERE bucket >= dirty.bucket AND bucket < dirty.bucket + interval '1 minute' GROUP BY satellite_id
    ) again
    UNION ALL
    SELECT time_bucket('1 minute', bucket), satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
    FROM orbitstream_all_10s WHERE bucket >= time_bucket('1 minute', (SELECT watermark FROM rollup_state)) GROUP BY 1, 2
  ) rolled_up;
