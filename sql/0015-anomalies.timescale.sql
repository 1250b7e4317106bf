-- Anomalies are compressed like telemetry: the newest first within a satellite, as they are asked for. The policy follows the
-- configuration at each start.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE hypertable_schema = 'public' AND hypertable_name = 'anomalies' AND compression_enabled) THEN
    ALTER TABLE anomalies SET (timescaledb.compress, timescaledb.compress_segmentby = 'satellite_id', timescaledb.compress_orderby = '"time" DESC');
  END IF;
END
$$;
