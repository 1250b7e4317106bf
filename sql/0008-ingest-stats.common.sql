-- The counters of /metrics in ten-second steps, for dashboards and alerts without Prometheus.
CREATE TABLE ingest_stats (
  -- Start of the step.
  "time" timestamptz NOT NULL,
  -- The server: the id of its DATA_DIR.
  instance text COLLATE "C" NOT NULL,
  -- Length of the step; the newest row grows until its step is complete. Divide counts by this to get rates.
  seconds double precision NOT NULL,
  http_points bigint NOT NULL,
  udp_points bigint NOT NULL,
  committed_points bigint NOT NULL,
  rejected_points bigint NOT NULL,
  shed_points bigint NOT NULL,
  quarantined_points bigint NOT NULL,
  -- Acknowledged requests.
  requests bigint NOT NULL,
  -- NULL if the step has no samples.
  ack_p50_seconds double precision,
  ack_p99_seconds double precision,
  batches bigint NOT NULL,
  batch_points bigint NOT NULL,
  transactions bigint NOT NULL,
  -- Points in those transactions, and their total duration.
  transaction_points bigint NOT NULL,
  transaction_seconds double precision NOT NULL,
  transaction_p99_seconds double precision,
  database_retries bigint NOT NULL,
  -- At the end of the step.
  points_waiting bigint NOT NULL,
  spool_bytes bigint NOT NULL,
  spool_oldest_seconds double precision NOT NULL,
  -- All packets read, accepted or not.
  udp_packets bigint NOT NULL,
  -- Packets that never arrived minus those that arrived late: may be negative.
  udp_missing_packets bigint NOT NULL,
  udp_kernel_drops bigint NOT NULL,
  udp_malformed_packets bigint NOT NULL,
  udp_duplicate_packets bigint NOT NULL,
  udp_stale_packets bigint NOT NULL,
  udp_shed_packets bigint NOT NULL,
  -- The kinds that occurred, as "metric severity,metric severity", and their counts: cheaper to aggregate than JSON.
  anomaly_kinds text COLLATE "C" NOT NULL,
  anomaly_counts bigint[] NOT NULL,
  worker_restarts bigint NOT NULL,
  workers_ready bigint NOT NULL,
  -- Satellites with a point in the last ten seconds, on any server; NULL if the row was stored later.
  satellites_heard bigint,
  PRIMARY KEY ("time", instance)
);
