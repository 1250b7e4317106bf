-- Run again when the catalogue of metrics grows.
--
-- One bucket, which is what is due every ten seconds, is not asked for each row which bucket it belongs to.
CREATE OR REPLACE FUNCTION orbitstream_roll_up_10s (from_time timestamptz, to_time timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_seqscan = off SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
  one constant boolean := to_time = from_time + interval '10 seconds';
BEGIN
  EXECUTE format($sql$
    INSERT INTO rollup_10s (bucket, satellite_id, points, {{rollup_names}})
    SELECT %3$s, satellite_id, count(*), {{rollup_from_raw}}
    FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L GROUP BY %4$s
    ON CONFLICT (satellite_id, bucket) DO UPDATE SET points = excluded.points, {{rollup_excluded}}
  $sql$, from_time, to_time,
    CASE WHEN one THEN format('timestamptz %L', from_time) ELSE $b$time_bucket('10 seconds', "time")$b$ END,
    CASE WHEN one THEN 'satellite_id' ELSE '1, 2' END);
END
$$;
