-- Run again when the catalogue of metrics grows.
--
-- Locks that nobody can hold against OrbitStream who has no rights on its tables.
--
-- Advisory locks are for every role of the server. So is ROW EXCLUSIVE, and all below it, on any table: PREPARE takes it
-- before rights are looked at. What nobody gets without rights is the lock of a row, and SHARE UPDATE EXCLUSIVE.

-- Buckets that cannot be rolled up. They are left out, and tried again when they get late rows, or by `rollups fill`.
CREATE TABLE IF NOT EXISTS rollup_failed (
  -- 10s or 1m.
  width text NOT NULL,
  bucket timestamptz NOT NULL,
  sqlstate text NOT NULL,
  reason text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (width, bucket)
);

-- Who does buckets again that got late rows: one at a time, a server or a command. A lease, and no lock: on TimescaleDB a
-- refresh is a transaction of its own, so that nothing can be held over it.
CREATE TABLE IF NOT EXISTS rollup_filler (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  holder text NOT NULL,
  expires_at timestamptz NOT NULL
);
INSERT INTO rollup_filler (holder, expires_at) VALUES ('', '-infinity') ON CONFLICT DO NOTHING;

-- True: whoever asks rolls up what is new, to the end of the transaction. False: another host does.
CREATE OR REPLACE FUNCTION orbitstream_lock_roll_up () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM FROM rollup_state FOR UPDATE SKIP LOCKED;
  RETURN FOUND;
END
$$;

-- First step of the primary, as before.
CREATE OR REPLACE FUNCTION orbitstream_begin_roll_up () RETURNS boolean
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
  -- Rows take a moment from their time to COMMIT.
  wanted constant timestamptz := now() - interval '2 seconds';
  back constant timestamptz := time_bucket('10 seconds', wanted);
BEGIN
  IF NOT orbitstream_lock_roll_up() THEN
    RETURN false;
  END IF;
  -- A clock that was far ahead is not waited for: what lies behind the marks is read from telemetry again. Who does buckets
  -- of that time again ends first.
  IF EXISTS (SELECT FROM rollup_state WHERE closing > wanted + interval '1 minute') THEN
    PERFORM FROM rollup_filler FOR UPDATE;
  END IF;
  UPDATE rollup_state SET closing = wanted, latest_watermark = least(latest_watermark, wanted), watermark = least(watermark, back)
    WHERE closing < wanted OR closing > wanted + interval '1 minute';
  RETURN true;
END
$$;

-- Transactions that stored rows and have not ended: those that lock rollup_dirty as orbitstream_note_rows does, or, where they
-- began before this migration, as it did. Whoever may not store rows may hold the same locks, and is not waited for.
CREATE OR REPLACE FUNCTION orbitstream_writers () RETURNS TABLE (virtualtransaction text)
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
  SELECT l.virtualtransaction
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.granted
    AND (l.locktype = 'relation' AND l.relation = 'rollup_dirty'::regclass AND l.mode = 'RowShareLock'
         OR l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.objsubid = 1
            AND l.classid::bigint = {{writer_lock}}::bigint >> 32 AND l.objid::bigint = {{writer_lock}}::bigint & 4294967295)
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND has_table_privilege(a.usesysid, 'telemetry', 'INSERT')
$$;
