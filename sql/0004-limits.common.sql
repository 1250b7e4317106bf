-- The limits that points are held against: what counts now, and every set that ever counted.

-- One row, or none before the first start.
CREATE TABLE limits (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Counts up with each change.
  version bigint NOT NULL,
  changed_at timestamptz NOT NULL,
  changed_by text NOT NULL,
  limits jsonb NOT NULL
);

CREATE TABLE limits_history (
  version bigint PRIMARY KEY,
  changed_at timestamptz NOT NULL,
  changed_by text NOT NULL,
  limits jsonb NOT NULL
);
