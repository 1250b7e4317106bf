-- Run again when the catalogue of metrics grows.
--
-- What TimescaleDB brings along, on PostgreSQL without it: time_bucket, and rollups of 10 seconds and a minute under
-- the names of the continuous aggregates.

-- TimescaleDB's origin: a Monday. Widths of months are not supported. Left alone where the extension has its own.
DO $$
BEGIN
  IF to_regprocedure('time_bucket(interval, timestamptz)') IS NULL THEN
    CREATE FUNCTION time_bucket (bucket_width interval, ts timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $sql$ SELECT date_bin(bucket_width, ts, timestamptz '2000-01-03 00:00:00+00') $sql$;
  END IF;
END
$$;

-- Sums, not averages: a minute is made of its six parts.
CREATE TABLE IF NOT EXISTS rollup_10s (
  bucket timestamptz NOT NULL,
  satellite_id text COLLATE "C" NOT NULL,
  points bigint NOT NULL,
  PRIMARY KEY (satellite_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE INDEX IF NOT EXISTS rollup_10s_bucket ON rollup_10s (bucket);
ALTER TABLE rollup_10s {{rollup_add_columns}};

CREATE TABLE IF NOT EXISTS rollup_1m (LIKE rollup_10s INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (satellite_id, bucket)) PARTITION BY RANGE (bucket);
CREATE INDEX IF NOT EXISTS rollup_1m_bucket ON rollup_1m (bucket);
ALTER TABLE rollup_1m {{rollup_add_columns}};

-- As before, for rollups too. They are there before a row is: a query that was planned before a partition was attached
-- may run after rows have moved into it, and would miss them.
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
  FOREACH parent IN ARRAY ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry'] LOOP
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

-- Aggregates telemetry into rollup_10s; from and to are borders of buckets. The plan is the same whatever statistics say.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_10s (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
  EXECUTE format($sql$
    INSERT INTO rollup_10s (bucket, satellite_id, points, {{rollup_names}})
    SELECT time_bucket('10 seconds', "time"), satellite_id, count(*), {{rollup_from_raw}}
    FROM telemetry WHERE "time" >= %L AND "time" < %L GROUP BY 1, 2
    ON CONFLICT (satellite_id, bucket) DO UPDATE SET points = excluded.points, {{rollup_excluded}}
  $sql$, from_time, to_time);
END
$$;

-- Aggregates rollup_10s into rollup_1m; from and to are full minutes.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_1m (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
BEGIN
  EXECUTE format($sql$
    INSERT INTO rollup_1m (bucket, satellite_id, points, {{rollup_names}})
    SELECT time_bucket('1 minute', bucket), satellite_id, sum(points), {{rollup_from_rollup}}
    FROM rollup_10s WHERE bucket >= %L AND bucket < %L GROUP BY 1, 2
    ON CONFLICT (satellite_id, bucket) DO UPDATE SET points = excluded.points, {{rollup_excluded}}
  $sql$, from_time, to_time);
END
$$;

-- Asked by whoever stores rows, in the same transaction and after them; true: some are late, and the newest row of each
-- satellite must be stored in satellites_late too.
CREATE OR REPLACE FUNCTION orbitstream_note_rows (lowest timestamptz, buckets timestamptz[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  until timestamptz;
BEGIN
  -- Somebody holds the lock for himself, which nothing here does: nobody will wait for us, so all rows count as late.
  IF NOT pg_try_advisory_xact_lock_shared({{writer_lock}}) THEN
    INSERT INTO rollup_dirty (bucket) SELECT unnest(buckets);
    RETURN true;
  END IF;
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
  IF NOT pg_try_advisory_xact_lock({{rollup_lock}}) THEN
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

-- Third step: does buckets again that got late rows, the newest first, at most so many; true: there is more to do.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_again (buckets_max integer) RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  done_until timestamptz;
  dirty timestamptz[];
  island record;
BEGIN
  IF NOT pg_try_advisory_xact_lock({{rollup_lock}}) THEN
    RETURN false;
  END IF;
  SELECT watermark INTO done_until FROM rollup_state;
  dirty := ARRAY(SELECT DISTINCT bucket FROM rollup_dirty WHERE bucket < done_until ORDER BY bucket DESC LIMIT buckets_max);
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

-- Drops the rollups of one width, 10s or 1m, of days of which telemetry has nothing any more, and forgets satellites. One
-- table a call: dropping from two at once could deadlock with whoever reads both.
CREATE OR REPLACE FUNCTION orbitstream_drop_rollups (width text) RETURNS void
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (SELECT min(lower_bound) FROM orbitstream_partitions());
  partition text;
BEGIN
  FOR partition IN SELECT p.name FROM orbitstream_partitions_of(('rollup_' || width)::regclass) p WHERE p.upper_bound <= kept_from LOOP
    EXECUTE format('DROP TABLE %I', partition);
  END LOOP;
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- Below, the watermark is asked for by subqueries: they are evaluated once, a function would be for each row.

-- Buckets before the watermark, exactly as telemetry has them: those that got late rows since are read from it.
CREATE OR REPLACE VIEW orbitstream_rolled_up_10s AS
  SELECT bucket, satellite_id, points, {{rollup_names}}
  FROM rollup_10s WHERE bucket < (SELECT watermark FROM rollup_state) AND bucket NOT IN (SELECT bucket FROM rollup_dirty)
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
    WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state)) AND bucket NOT IN (SELECT time_bucket('1 minute', bucket) FROM rollup_dirty)
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

-- Rows that were there before: their buckets are read from telemetry until they were rolled up in the background.
DO $$
DECLARE
  until constant timestamptz := time_bucket('10 seconds', now() - interval '1 minute');
  day timestamptz;
BEGIN
  PERFORM set_config('timezone', 'UTC', true);
  IF NOT EXISTS (SELECT FROM rollup_state) THEN
    INSERT INTO rollup_state (closing, latest_watermark, watermark) VALUES (until, until, until);
    INSERT INTO rollup_dirty (bucket) SELECT DISTINCT time_bucket('10 seconds', "time") FROM telemetry WHERE "time" < until AND isfinite("time");
    PERFORM orbitstream_note_latest('-infinity', until);
    FOR day IN
      SELECT lower_bound FROM orbitstream_partitions() WHERE isfinite(lower_bound)
      UNION SELECT date_trunc('day', bucket) FROM rollup_dirty
    LOOP
      PERFORM orbitstream_ensure_partitions(day, day);
    END LOOP;
  END IF;
END
$$;
