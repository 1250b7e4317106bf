-- Anomalies on TimescaleDB: a hypertable like telemetry. Its policies are synced with the configuration at each start.
CREATE TABLE anomalies (
  -- Time, satellite, metric and value of the point.
  "time" timestamptz NOT NULL,
  satellite_id text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  value double precision NOT NULL,
  -- The violated limit, its severity, and its side.
  limit_value double precision NOT NULL,
  severity text COLLATE "C" NOT NULL,
  side text COLLATE "C" NOT NULL,
  -- Version of the limits that were applied, see limits_history.
  limits_version bigint NOT NULL
);

SELECT create_hypertable('anomalies', by_range('time', interval '1 day'), create_default_indexes => false);

CREATE INDEX anomalies_time ON anomalies ("time");
CREATE INDEX anomalies_satellite_id_time ON anomalies (satellite_id, "time");
-- One severity may be rare: neither search has to skip over rows of the other.
CREATE INDEX anomalies_severity_time ON anomalies (severity, "time");

-- Newest first within a satellite, as queries ask for them.
ALTER TABLE anomalies SET (
  timescaledb.compress, timescaledb.compress_segmentby = 'satellite_id', timescaledb.compress_orderby = '"time" DESC'
);
