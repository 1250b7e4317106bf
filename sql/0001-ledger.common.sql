-- The ledger of committed frames and the quarantine of rejected rows.

-- One row per spool: the last committed frame.
CREATE TABLE ingest_ledger (
  spool_id text PRIMARY KEY,
  epoch bigint NOT NULL,
  last_sequence bigint NOT NULL,
  rows_total bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  -- Random id of the epoch, which tells a spool from a copy of it. NULL: unknown.
  epoch_id text
);

-- Acknowledged rows that the telemetry table rejected, with the reason.
CREATE TABLE quarantined_rows (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  quarantined_at timestamptz NOT NULL DEFAULT now(),
  spool_id text NOT NULL,
  epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  sqlstate text NOT NULL,
  reason text NOT NULL,
  -- NULL if row_bytes does not decode to a row.
  row jsonb,
  row_bytes bytea
);
