-- Run again when the catalogue of metrics grows.
-- Versions of the catalogue; the highest is in force. Made by lib/schema/catalogue-versions.ts.
CREATE TABLE IF NOT EXISTS catalogue (
  version integer PRIMARY KEY,
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL,
  -- In the form of the catalogue file.
  catalogue jsonb NOT NULL
);
