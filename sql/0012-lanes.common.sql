-- Lanes of the replicated log (SPOOL_DIR=nats://…): who writes them, and who drains those that were left behind.

-- One row. Streams in the log carry this id, so that several databases can share NATS servers.
CREATE TABLE ingest_deployment (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id text NOT NULL
);
INSERT INTO ingest_deployment (id) VALUES (left(md5(random()::text || clock_timestamp()::text || pg_backend_pid()), 16));

-- One row per life of a worker; its key is that of the ledger's row.
CREATE TABLE ingest_lanes (
  lane text PRIMARY KEY,
  -- The server of the worker: the id of its DATA_DIR.
  instance text NOT NULL,
  slot integer NOT NULL,
  -- The server that drains it in place of its own; NULL: none.
  drainer text,
  -- When one of these servers last said that it works on the lane; by the clock of the database.
  seen_at timestamptz NOT NULL DEFAULT now(),
  -- Sealed and drained. NULL: not yet.
  closed_at timestamptz,
  -- Its streams were removed. NULL: not yet.
  removed_at timestamptz
);
