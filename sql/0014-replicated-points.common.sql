-- Points that the replicated log has acknowledged in the step; 0 without one, and before this column.
ALTER TABLE ingest_stats ADD COLUMN replicated_points bigint NOT NULL DEFAULT 0;
