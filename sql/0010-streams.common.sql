-- Several streams. Each has the tables, views and functions of 0002, 0005 and 0006 under names of its own, made when it
-- comes into the catalogue: lib/database/stream-tables.ts. Anomalies, limits and the quarantine are shared; names of
-- metrics there begin with that of the stream, but for the stream telemetry.

-- The stream of the row. Of one that only a later catalogue has: its id, such as #7.
ALTER TABLE quarantined_rows ADD COLUMN stream text NOT NULL DEFAULT 'telemetry';

-- The names of states: points have their numbers.
CREATE OR REPLACE VIEW metric_states AS
  SELECT CASE stream.key WHEN 'telemetry' THEN metric.key ELSE stream.key || '.' || metric.key END AS metric,
         state.value::smallint AS value, state.key AS name
  FROM (SELECT catalogue FROM catalogue ORDER BY version DESC LIMIT 1) in_force,
       jsonb_each(in_force.catalogue -> 'streams') stream,
       jsonb_each(stream.value -> 'metrics') metric,
       jsonb_each(metric.value -> 'states') state;
