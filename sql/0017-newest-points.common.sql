-- Run again when the catalogue of metrics grows.
--
-- As before, and the same for whoever asks: the times in the text are written and read again, which in some styles of dates
-- takes the abbreviation of a time zone for that of another one.
CREATE OR REPLACE FUNCTION orbitstream_newest_points (from_time timestamptz, to_time timestamptz)
RETURNS SETOF satellites_last
LANGUAGE plpgsql STABLE ROWS 1000 SET search_path = public, pg_temp SET datestyle = 'ISO'
SET enable_seqscan = off SET enable_nestloop = off SET enable_mergejoin = off SET jit = off
SET max_parallel_workers_per_gather = 0 SET work_mem = '64MB' AS $$
BEGIN
  -- With the values in the text: partitions and chunks are then skipped before any is opened.
  RETURN QUERY EXECUTE format($sql$
    WITH newest AS MATERIALIZED (
      -- Cast: a compressed table of the first release keeps its varchar.
      SELECT satellite_id::text COLLATE "C" AS satellite_id, max("time") AS "time"
      FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L GROUP BY 1
    )
    SELECT DISTINCT ON (satellite_id) satellite_id, "time", {{metric_names}}
    FROM newest JOIN (
      SELECT satellite_id::text COLLATE "C" AS satellite_id, "time", {{metric_names}}
      FROM telemetry WHERE "time" >= %1$L AND "time" < %2$L AND "time" >= (SELECT min("time") FROM newest)
    ) recent USING (satellite_id, "time")
  $sql$, from_time, to_time);
END
$$;

-- Its text has backslashes, and is read anew in each session.
ALTER FUNCTION orbitstream_limits_of (jsonb, text[]) SET standard_conforming_strings = on;
