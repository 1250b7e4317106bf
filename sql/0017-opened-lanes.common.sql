-- When the lane's writer had its first stream; NULL: not yet, or before this column. A lane that has had streams, is not
-- closed and has none any more lost them to somebody who deleted them.
ALTER TABLE ingest_lanes ADD COLUMN opened_at timestamptz;
