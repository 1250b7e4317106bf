-- Run again when the catalogue of metrics grows.
-- Versions of the catalogue; the highest is in force. Made by lib/schema/catalogue-versions.ts.
CREATE TABLE IF NOT EXISTS catalogue (
  version integer PRIMARY KEY,
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL,
  -- In the form of the catalogue file.
  catalogue jsonb NOT NULL
);

-- The names of states: points have their numbers.
CREATE OR REPLACE VIEW metric_states AS
  SELECT metric.key AS metric, state.value::smallint AS value, state.key AS name
  FROM (SELECT catalogue FROM catalogue ORDER BY version DESC LIMIT 1) in_force,
       jsonb_each(in_force.catalogue #> '{streams,telemetry,metrics}') metric,
       jsonb_each(metric.value -> 'states') state;
