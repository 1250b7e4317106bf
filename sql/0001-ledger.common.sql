-- What was committed, and what PostgreSQL would not take: the same on every kind of server.

-- One row per spool: the last frame whose transaction has committed.
CREATE TABLE ingest_ledger (
  spool_id text PRIMARY KEY,
  epoch bigint NOT NULL,
  last_sequence bigint NOT NULL,
  rows_total bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Rows that were acknowledged and that the telemetry table refused, with the reason.
CREATE TABLE quarantined_rows (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  quarantined_at timestamptz NOT NULL DEFAULT now(),
  spool_id text NOT NULL,
  epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  sqlstate text NOT NULL,
  reason text NOT NULL,
  -- Null where the bytes do not read as a row.
  row jsonb,
  row_bytes bytea
);
