-- Run again when the catalogue of metrics grows.
--
-- Rollups advance also while each transaction of the writers takes seconds. Waiting for all that are open at a moment
-- may never end, since others have begun by the time that these are done. So `closing` stays where it is until those
-- that may have read an earlier one are done, however often the primary has to look.

ALTER TABLE rollup_state
  -- Open transactions of writers when `closing` had advanced. NULL: nobody has looked since.
  ADD COLUMN IF NOT EXISTS awaited text[];

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
  IF EXISTS (SELECT FROM rollup_state WHERE closing > wanted + interval '1 minute') THEN
    -- Do not wait for a clock that ran far ahead: rows after the marks are read from telemetry again. First let a
    -- refill of buckets of that time finish.
    PERFORM FROM rollup_filler FOR UPDATE;
  ELSIF EXISTS (SELECT FROM rollup_state WHERE awaited IS NOT NULL AND latest_watermark < closing) THEN
    RETURN true;
  END IF;
  UPDATE rollup_state
    SET closing = wanted, latest_watermark = least(latest_watermark, wanted), watermark = least(watermark, back),
        awaited = NULL
    WHERE closing < wanted OR closing > wanted + interval '1 minute';
  RETURN true;
END
$$;

-- Waits until every writer that read an older `closing` has finished; false: that took more than a second, and is to be
-- continued. Only for the holder of the lock of orbitstream_lock_roll_up, in a later transaction than the first step.
CREATE OR REPLACE FUNCTION orbitstream_await_writers () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Writers hold the lock from orbitstream_note_rows to the end of their transaction.
  writers text[];
BEGIN
  SELECT awaited INTO writers FROM rollup_state;
  IF writers IS NULL THEN
    writers := ARRAY(SELECT virtualtransaction FROM orbitstream_writers());
    UPDATE rollup_state SET awaited = writers;
  END IF;
  FOR turn IN 1..100 LOOP
    IF NOT EXISTS (SELECT FROM orbitstream_writers() w WHERE w.virtualtransaction = ANY (writers)) THEN
      RETURN true;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN false;
END
$$;
