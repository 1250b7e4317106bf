-- Run again when the catalogue of metrics grows.
--
-- The last point of each satellite, and the bookkeeping of late rows for rollups.
--
-- The primary advances two marks. `closing` tells writers which rows are late and must be noted. Once it has advanced
-- and every writer that used its previous value has finished, all rows before it are either in telemetry or noted; they
-- are then processed, and the other marks follow. Only the primary waits, and rows in time cost no write.
--
-- Locks here are ones that no role without rights on these tables can hold against OrbitStream. Advisory locks are open
-- to every role, and so is ROW EXCLUSIVE or weaker on any table: PREPARE takes it before checking privileges. Row locks
-- and SHARE UPDATE EXCLUSIVE require privileges.

CREATE TABLE IF NOT EXISTS rollup_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Rows before this time are late: orbitstream_note_rows tells the writer.
  closing timestamptz NOT NULL,
  -- Rows before this time are in satellites_last or satellites_late; later ones are read from telemetry.
  latest_watermark timestamptz NOT NULL,
  -- Buckets before this one are in the rollups of plain PostgreSQL; later ones are read from telemetry.
  watermark timestamptz NOT NULL,
  -- The end of time, for queries whose plan must not depend on it.
  forever timestamptz NOT NULL DEFAULT 'infinity'
);

-- Ten-second buckets (on TimescaleDB also whole minutes) that received rows after they were rolled up. No key: two
-- transactions that note the same bucket must not block each other.
CREATE TABLE IF NOT EXISTS rollup_dirty (
  id bigint GENERATED ALWAYS AS IDENTITY,
  bucket timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS rollup_dirty_bucket ON rollup_dirty (bucket);

-- Buckets that could not be rolled up. They are skipped, and retried when late rows arrive or by `rollups fill`.
CREATE TABLE IF NOT EXISTS rollup_failed (
  -- 10s or 1m.
  width text NOT NULL,
  bucket timestamptz NOT NULL,
  sqlstate text NOT NULL,
  reason text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (width, bucket)
);

-- Who is refilling buckets that received late rows: one server or command at a time. A lease rather than a lock: on
-- TimescaleDB each refresh is a transaction of its own, so no lock can span it.
CREATE TABLE IF NOT EXISTS rollup_filler (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  holder text NOT NULL,
  expires_at timestamptz NOT NULL
);
INSERT INTO rollup_filler (holder, expires_at) VALUES ('', '-infinity') ON CONFLICT DO NOTHING;

-- Cheaper than querying telemetry, which has no index for the last row of every satellite.
CREATE TABLE IF NOT EXISTS satellites_last (
  satellite_id text COLLATE "C" PRIMARY KEY,
  "time" timestamptz NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE satellites_last {{metric_add_columns}};

-- The newest row per satellite of each transaction with late rows, until it is merged into satellites_last. No key, for
-- the same reason as rollup_dirty.
CREATE TABLE IF NOT EXISTS satellites_late (
  satellite_id text COLLATE "C" NOT NULL,
  "time" timestamptz NOT NULL
);
ALTER TABLE satellites_late {{metric_add_columns}};

-- The newest point of each satellite in a time range; ties are broken arbitrarily. The plan does not depend on
-- statistics: the coarse index finds the range, and rows at its end are read a second time, which is cheaper than
-- keeping all of them aside. Where all satellites send, that is little.
CREATE OR REPLACE FUNCTION orbitstream_newest_points (from_time timestamptz, to_time timestamptz)
RETURNS SETOF satellites_last
LANGUAGE plpgsql STABLE ROWS 1000
-- The times are printed and parsed again, which some date styles do not survive: they abbreviate time zones
-- ambiguously.
SET search_path = public, pg_temp SET datestyle = 'ISO'
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
SET max_parallel_workers_per_gather = 0 SET work_mem = '64MB' AS $$
BEGIN
  -- Literals, so that partitions and chunks are pruned before any is opened.
  RETURN QUERY EXECUTE format($sql$
    WITH newest AS MATERIALIZED (
      -- Cast: a compressed first-release table keeps its varchar.
      SELECT satellite_id::text COLLATE "C" AS satellite_id, max("time") AS "time"
      FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L GROUP BY 1
    )
    SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}}
    FROM newest JOIN (
      SELECT satellite_id::text COLLATE "C" AS satellite_id, "time", {{metric_names}}
      FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L AND "time" >= (SELECT min("time") FROM newest)
    ) recent USING (satellite_id, "time")
  $sql$, from_time, to_time);
END
$$;

-- Merges the newest points of a time range into satellites_last.
CREATE OR REPLACE FUNCTION orbitstream_note_latest (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  INSERT INTO satellites_last AS known (satellite_id, "time", {{metric_names}})
  SELECT satellite_id, "time", {{metric_names}} FROM orbitstream_newest_points(from_time, to_time)
  ON CONFLICT (satellite_id) DO UPDATE SET "time" = excluded."time", {{metric_excluded}}
    WHERE known."time" < excluded."time"
$$;

-- Merges the late points into satellites_last.
CREATE OR REPLACE FUNCTION orbitstream_note_late () RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  WITH late AS (DELETE FROM satellites_late RETURNING satellite_id, "time", {{metric_names}})
  INSERT INTO satellites_last AS known (satellite_id, "time", {{metric_names}})
  SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}} FROM late ORDER BY satellite_id, "time" DESC
  ON CONFLICT (satellite_id) DO UPDATE SET "time" = excluded."time", {{metric_excluded}}
    WHERE known."time" < excluded."time"
$$;

-- The last point of each satellite; ties are broken arbitrarily.
CREATE OR REPLACE VIEW satellites_latest AS
  SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}}
  FROM (
    SELECT satellite_id, "time", {{metric_names}} FROM satellites_last
    UNION ALL
    SELECT satellite_id, "time", {{metric_names}} FROM satellites_late
    UNION ALL
    SELECT satellite_id, "time", {{metric_names}}
    FROM orbitstream_newest_points((SELECT latest_watermark FROM rollup_state), 'infinity')
  ) known
  ORDER BY satellite_id, "time" DESC;

-- True: the caller rolls up new rows until its transaction ends. False: another host does.
CREATE OR REPLACE FUNCTION orbitstream_lock_roll_up () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM FROM rollup_state FOR UPDATE SKIP LOCKED;
  RETURN FOUND;
END
$$;

-- First step of the primary: from now on rows before this moment are late. False: another host is the primary.
CREATE OR REPLACE FUNCTION orbitstream_begin_roll_up () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Rows take a moment from their timestamp to COMMIT.
  wanted constant timestamptz := now() - interval '2 seconds';
  back constant timestamptz := time_bucket('10 seconds', wanted);
BEGIN
  IF NOT orbitstream_lock_roll_up() THEN
    RETURN false;
  END IF;
  -- Do not wait for a clock that ran far ahead: rows after the marks are read from telemetry again. First let a refill
  -- of buckets of that time finish.
  IF EXISTS (SELECT FROM rollup_state WHERE closing > wanted + interval '1 minute') THEN
    PERFORM FROM rollup_filler FOR UPDATE;
  END IF;
  UPDATE rollup_state
    SET closing = wanted, latest_watermark = least(latest_watermark, wanted), watermark = least(watermark, back)
    WHERE closing < wanted OR closing > wanted + interval '1 minute';
  RETURN true;
END
$$;

-- Open transactions that stored rows: those that hold the lock of orbitstream_note_rows. A role that may not store rows
-- can hold it too, and is ignored.
CREATE OR REPLACE FUNCTION orbitstream_writers () RETURNS TABLE (virtualtransaction text)
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
  SELECT l.virtualtransaction
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.granted AND l.locktype = 'relation' AND l.relation = 'rollup_dirty'::regclass AND l.mode = 'RowShareLock'
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND has_table_privilege(a.usesysid, 'telemetry', 'INSERT')
$$;

-- Waits until every writer that read an older `closing` has finished; false: that took more than a second.
CREATE OR REPLACE FUNCTION orbitstream_await_writers () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Writers hold the lock from orbitstream_note_rows to the end of their transaction.
  writers constant text[] := ARRAY(SELECT virtualtransaction FROM orbitstream_writers());
BEGIN
  FOR turn IN 1..100 LOOP
    IF NOT EXISTS (SELECT FROM orbitstream_writers() w WHERE w.virtualtransaction = ANY (writers)) THEN
      RETURN true;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN false;
END
$$;
