-- What /metrics counts, in steps of ten seconds: for dashboards and alerts where there is no Prometheus.

CREATE TABLE ingest_stats (
  -- Begin of the step.
  "time" timestamptz NOT NULL,
  -- The server that counted: its DATA_DIR's id.
  instance text COLLATE "C" NOT NULL,
  -- That the row covers; the newest row grows until its step is over. Rates are counts divided by this.
  seconds double precision NOT NULL,
  http_points bigint NOT NULL,
  udp_points bigint NOT NULL,
  committed_points bigint NOT NULL,
  rejected_points bigint NOT NULL,
  shed_points bigint NOT NULL,
  quarantined_points bigint NOT NULL,
  -- That were acknowledged.
  requests bigint NOT NULL,
  -- Null where nothing was measured in the step.
  ack_p50_seconds double precision,
  ack_p99_seconds double precision,
  batches bigint NOT NULL,
  batch_points bigint NOT NULL,
  transactions bigint NOT NULL,
  -- Points in them, and the time that they took together.
  transaction_points bigint NOT NULL,
  transaction_seconds double precision NOT NULL,
  transaction_p99_seconds double precision,
  database_retries bigint NOT NULL,
  -- At the end of the step.
  points_waiting bigint NOT NULL,
  spool_bytes bigint NOT NULL,
  spool_oldest_seconds double precision NOT NULL,
  -- That were read, whatever became of them.
  udp_packets bigint NOT NULL,
  -- Packets that never came, less those that came late: may be negative.
  udp_missing_packets bigint NOT NULL,
  udp_kernel_drops bigint NOT NULL,
  udp_malformed_packets bigint NOT NULL,
  udp_duplicate_packets bigint NOT NULL,
  udp_stale_packets bigint NOT NULL,
  udp_shed_packets bigint NOT NULL,
  -- Of the kinds that there were, "metric severity,metric severity", and how many of each: cheaper to sum up than JSON.
  anomaly_kinds text COLLATE "C" NOT NULL,
  anomaly_counts bigint[] NOT NULL,
  worker_restarts bigint NOT NULL,
  workers_ready bigint NOT NULL,
  -- With a point of the last ten seconds, of all servers together; null where the row was stored later.
  satellites_heard bigint,
  PRIMARY KEY ("time", instance)
);
