-- What was denied for who sent it: tokens, keys, rates, satellites. 0 in rows of hosts that do not count it yet.
ALTER TABLE ingest_stats
  -- HTTP requests; most before their body was read, so nobody knows how many points they had.
  ADD COLUMN http_denied_requests bigint NOT NULL DEFAULT 0,
  ADD COLUMN udp_denied_packets bigint NOT NULL DEFAULT 0;
