-- Run again when the catalogue of metrics grows.
--
-- The last point of each satellite, and what rollups need to know of rows that come late.
--
-- The primary moves two marks. `closing` says to whoever stores rows: rows before it are late, say so. When it was moved
-- and everybody who stored by its older value has ended, all earlier rows are in telemetry or were noted: what lies before
-- it is then taken over, and the other marks follow. Nobody waits but the primary, and rows that are in time cost no write.

CREATE TABLE IF NOT EXISTS rollup_state (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Rows before this time are late: orbitstream_note_rows tells the one who stores them.
  closing timestamptz NOT NULL,
  -- Rows before this time are in satellites_last or satellites_late; later ones are read from telemetry.
  latest_watermark timestamptz NOT NULL,
  -- Buckets before this one are in the rollups of plain PostgreSQL; later ones are read from telemetry.
  watermark timestamptz NOT NULL,
  -- The end of time, for queries whose plan must not depend on it.
  forever timestamptz NOT NULL DEFAULT 'infinity'
);

-- Buckets of ten seconds (on TimescaleDB also whole minutes) that got rows after they were rolled up. No key: two
-- transactions that note the same bucket must not wait for one another.
CREATE TABLE IF NOT EXISTS rollup_dirty (
  id bigint GENERATED ALWAYS AS IDENTITY,
  bucket timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS rollup_dirty_bucket ON rollup_dirty (bucket);

-- Reading it costs less than asking telemetry, which has no index that finds the last row of every satellite.
CREATE TABLE IF NOT EXISTS satellites_last (
  satellite_id text COLLATE "C" PRIMARY KEY,
  "time" timestamptz NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE satellites_last {{metric_add_columns}};

-- The newest row of each satellite of a transaction that had late rows, until it is taken over. No key, as above.
CREATE TABLE IF NOT EXISTS satellites_late (
  satellite_id text COLLATE "C" NOT NULL,
  "time" timestamptz NOT NULL
);
ALTER TABLE satellites_late {{metric_add_columns}};

-- For "all satellites of the last seconds": coarse, so that it is found at once however large the table.
CREATE INDEX IF NOT EXISTS telemetry_time_brin ON telemetry USING brin ("time") WITH (pages_per_range = 32);

-- The newest point of each satellite in a span of time; of several with the same time any one. Planned as if statistics
-- were always fresh: the span is found by the coarse index, and read once.
CREATE OR REPLACE FUNCTION orbitstream_newest_points (from_time timestamptz, to_time timestamptz)
RETURNS SETOF satellites_last
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = public, pg_temp
SET enable_seqscan = off SET enable_nestloop = off SET jit = off SET max_parallel_workers_per_gather = 0 SET work_mem = '64MB' AS $$
BEGIN
  -- With the values in the text: partitions and chunks are then skipped before any is opened.
  RETURN QUERY EXECUTE format($sql$
    WITH recent AS MATERIALIZED (
      -- Cast: a compressed table of the first release keeps its varchar.
      SELECT satellite_id::text COLLATE "C" AS satellite_id, "time", {{metric_names}} FROM telemetry WHERE "time" >= %L AND "time" < %L
    ), newest AS MATERIALIZED (
      SELECT satellite_id, max("time") AS "time" FROM recent GROUP BY satellite_id
    )
    SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}}
    FROM newest JOIN recent USING (satellite_id, "time")
    -- Where all satellites send, that leaves few rows to look up.
    WHERE recent."time" >= (SELECT min("time") FROM newest)
  $sql$, from_time, to_time);
END
$$;

-- Takes over the newest points of a span of time, where they are newer than the known ones.
CREATE OR REPLACE FUNCTION orbitstream_note_latest (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  INSERT INTO satellites_last AS known (satellite_id, "time", {{metric_names}})
  SELECT satellite_id, "time", {{metric_names}} FROM orbitstream_newest_points(from_time, to_time)
  ON CONFLICT (satellite_id) DO UPDATE SET "time" = excluded."time", {{metric_excluded}} WHERE known."time" < excluded."time"
$$;

-- Takes over the late points.
CREATE OR REPLACE FUNCTION orbitstream_note_late () RETURNS void
LANGUAGE sql SET search_path = public, pg_temp AS $$
  WITH late AS (DELETE FROM satellites_late RETURNING satellite_id, "time", {{metric_names}})
  INSERT INTO satellites_last AS known (satellite_id, "time", {{metric_names}})
  SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}} FROM late ORDER BY satellite_id, "time" DESC
  ON CONFLICT (satellite_id) DO UPDATE SET "time" = excluded."time", {{metric_excluded}} WHERE known."time" < excluded."time"
$$;

-- The last point of each satellite. Of several points with the same time any one is shown.
CREATE OR REPLACE VIEW satellites_latest AS
  SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}}
  FROM (
    SELECT satellite_id, "time", {{metric_names}} FROM satellites_last
    UNION ALL
    SELECT satellite_id, "time", {{metric_names}} FROM satellites_late
    UNION ALL
    SELECT satellite_id, "time", {{metric_names}} FROM orbitstream_newest_points((SELECT latest_watermark FROM rollup_state), 'infinity')
  ) known
  ORDER BY satellite_id, "time" DESC;

-- First step of the primary: from now on rows before this moment are late. False: another host does it.
CREATE OR REPLACE FUNCTION orbitstream_begin_roll_up () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Rows take a moment from their time to COMMIT.
  wanted constant timestamptz := now() - interval '2 seconds';
  back constant timestamptz := time_bucket('10 seconds', wanted);
BEGIN
  IF NOT pg_try_advisory_xact_lock({{rollup_lock}}) THEN
    RETURN false;
  END IF;
  -- A clock that was far ahead is not waited for: what lies behind the marks is read from telemetry again.
  UPDATE rollup_state SET closing = wanted, latest_watermark = least(latest_watermark, wanted), watermark = least(watermark, back)
    WHERE closing < wanted OR closing > wanted + interval '1 minute';
  RETURN true;
END
$$;

-- Transactions that stored rows and have not ended.
CREATE OR REPLACE FUNCTION orbitstream_writers () RETURNS TABLE (virtualtransaction text)
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
  SELECT virtualtransaction FROM pg_locks
  WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = {{writer_lock}}::bigint >> 32 AND objid::bigint = {{writer_lock}}::bigint & 4294967295
$$;

-- Waits until everybody has ended who stores rows by an older `closing`; false: it took longer than a second.
CREATE OR REPLACE FUNCTION orbitstream_await_writers () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Whoever stores rows holds the lock from orbitstream_note_rows on, to the end of the transaction.
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
