-- Run again when the catalogue of metrics grows.
--
-- The views of sql/0006 with NOT EXISTS. NOT IN is looked up in a hash table only while the planner believes that it fits into
-- work_mem: beyond some 260,000 entries, as they come together while a backlog is stored, it read all of them for each bucket.

CREATE OR REPLACE VIEW orbitstream_rolled_up_10s AS
  SELECT bucket, satellite_id, points, {{rollup_names}}
  FROM rollup_10s WHERE bucket < (SELECT watermark FROM rollup_state) AND NOT EXISTS (SELECT FROM rollup_dirty d WHERE d.bucket = rollup_10s.bucket)
  UNION ALL
  SELECT dirty.bucket, again.*
  FROM (SELECT DISTINCT bucket FROM rollup_dirty WHERE bucket < (SELECT watermark FROM rollup_state)) dirty
  CROSS JOIN LATERAL (
    SELECT satellite_id, count(*), {{rollup_from_raw}}
    FROM telemetry WHERE "time" >= dirty.bucket AND "time" < dirty.bucket + interval '10 seconds' GROUP BY satellite_id
  ) again;

CREATE OR REPLACE VIEW telemetry_1m AS
  SELECT bucket, satellite_id, points, {{rollup_shown}}
  FROM (
    SELECT bucket, satellite_id, points, {{rollup_names}}
    FROM rollup_1m
    WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))
      -- The same said twice: equality for a hash table of all entries, the range for the index, where few minutes are asked for.
      AND NOT EXISTS (
        SELECT FROM rollup_dirty d
        WHERE time_bucket('1 minute', d.bucket) = rollup_1m.bucket AND d.bucket >= rollup_1m.bucket AND d.bucket < rollup_1m.bucket + interval '1 minute')
    UNION ALL
    SELECT dirty.bucket, again.*
    FROM (SELECT DISTINCT time_bucket('1 minute', bucket) AS bucket FROM rollup_dirty WHERE bucket < time_bucket('1 minute', (SELECT watermark FROM rollup_state))) dirty
    CROSS JOIN LATERAL (
      SELECT satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
      FROM orbitstream_rolled_up_10s WHERE bucket >= dirty.bucket AND bucket < dirty.bucket + interval '1 minute' GROUP BY satellite_id
    ) again
    UNION ALL
    SELECT time_bucket('1 minute', bucket), satellite_id, sum(points)::bigint, {{rollup_from_rollup}}
    FROM orbitstream_all_10s WHERE bucket >= time_bucket('1 minute', (SELECT watermark FROM rollup_state)) GROUP BY 1, 2
  ) rolled_up;
