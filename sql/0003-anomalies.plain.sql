-- Anomalies on PostgreSQL without TimescaleDB, in partitions created and dropped together with those of telemetry.
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
) PARTITION BY RANGE ("time");

CREATE INDEX anomalies_time ON anomalies ("time");
CREATE INDEX anomalies_satellite_id_time ON anomalies (satellite_id, "time");
-- One severity may be rare: neither search has to skip over rows of the other.
CREATE INDEX anomalies_severity_time ON anomalies (severity, "time");
