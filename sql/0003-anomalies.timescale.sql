-- Anomalies on TimescaleDB: a hypertable beside telemetry's. Its policies follow the configuration at each start.
CREATE TABLE IF NOT EXISTS anomalies (
  -- Of the point.
  "time" timestamptz NOT NULL,
  satellite_id text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  value double precision NOT NULL,
  -- The limit that was broken, how bad that is, and on which side.
  limit_value double precision NOT NULL,
  severity text COLLATE "C" NOT NULL,
  side text COLLATE "C" NOT NULL,
  -- Version of the limits that judged.
  limits_version bigint NOT NULL
);

SELECT create_hypertable('anomalies', by_range('time', interval '1 day'), create_default_indexes => false, if_not_exists => true, migrate_data => true);

CREATE INDEX IF NOT EXISTS anomalies_time ON anomalies ("time");
CREATE INDEX IF NOT EXISTS anomalies_satellite_id_time ON anomalies (satellite_id, "time");
-- Of the two severities one may be rare: neither is found by walking past the other.
CREATE INDEX IF NOT EXISTS anomalies_severity_time ON anomalies (severity, "time");
