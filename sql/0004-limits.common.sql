-- The limits that points are checked against: the current set and its history.

-- One row, or none before the first start.
CREATE TABLE limits (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  -- Incremented by each change.
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

-- Resolves a set of limits for some satellites by the rules of lib/limits/limit-set.ts. A metric without a row, or
-- whose bounds are all NULL, is not checked. Keys that differ only in characters beyond U+FFFF may resolve differently.
--
-- As in lib/limits/resolver.ts, a pattern is looked up by its literal prefix and suffix, so thousands of patterns that
-- begin with a wildcard cost no more than thousands that end with one.
CREATE FUNCTION orbitstream_limits_of (limits jsonb, satellites text[])
RETURNS TABLE (
  satellite_id text, metric text, low_warning double precision, low_critical double precision,
  high_warning double precision, high_critical double precision,
  -- Lists of values by severity: of states and bools.
  states jsonb
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Hash joins only: the planner cannot estimate the rows of a JSON document, and underrates nested loops.
SET enable_nestloop = off SET enable_mergejoin = off SET jit = off SET work_mem = '64MB'
-- The body contains backslashes, and each session parses it anew.
SET standard_conforming_strings = on AS $$
  WITH satellite AS MATERIALIZED (
    SELECT DISTINCT id FROM unnest(satellites) id
  ), override AS MATERIALIZED (
    SELECT key, value, strpos(key, '*') AS wildcard_at FROM jsonb_each(limits -> 'overrides')
  ), pattern AS MATERIALIZED (
    SELECT key, left(key, wildcard_at - 1) AS prefix, wildcard_at - 1 AS prefix_length,
           right(key, suffix_length) AS suffix, suffix_length, length(replace(key, '*', '')) AS literal_length,
           -- Most patterns have one wildcard: prefix and suffix decide.
           CASE WHEN wildcard_at + suffix_length < length(key)
                THEN replace(replace(replace(replace(key, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') END AS rest
    FROM (SELECT *, strpos(reverse(key), '*') - 1 AS suffix_length FROM override WHERE wildcard_at > 0) with_wildcard
  ), beginning AS MATERIALIZED (
    SELECT id, left(id, prefix_length) AS prefix, prefix_length
    FROM satellite, (SELECT DISTINCT prefix_length FROM pattern) lengths
  ), ends AS MATERIALIZED (
    SELECT id, prefix, prefix_length, right(id, suffix_length) AS suffix, suffix_length
    FROM beginning JOIN (SELECT DISTINCT prefix, prefix_length, suffix_length FROM pattern) lengths
      USING (prefix_length, prefix)
    -- Prefix and suffix must not overlap.
    WHERE prefix_length + suffix_length <= length(id)
  ), found AS MATERIALIZED (
    SELECT id, key, 2 AS kind, 0 AS prefix_length, 0 AS literal_length
    FROM satellite JOIN override ON key = id AND wildcard_at = 0
    UNION ALL
    SELECT id, key, 1, prefix_length, literal_length
    FROM ends JOIN pattern USING (prefix_length, prefix, suffix_length, suffix) WHERE rest IS NULL OR id LIKE rest
  ), bound AS MATERIALIZED (
    SELECT override.key, m.key AS metric, m.value AS bounds
    FROM override JOIN (SELECT DISTINCT key FROM found) used ON used.key = override.key, jsonb_each(override.value) m
  ), candidate AS (
    SELECT id, metric, bounds, kind, prefix_length, literal_length, key FROM found JOIN bound USING (key)
    UNION ALL
    SELECT id, d.key, d.value, 0, 0, 0, '' FROM satellite, jsonb_each(limits -> 'default') d
  ), chosen AS (
    SELECT DISTINCT ON (id, metric) id, metric, bounds FROM candidate
    ORDER BY id, metric, kind DESC, prefix_length DESC, literal_length DESC, key COLLATE "C"
  )
  SELECT id, metric,
         (bounds #>> '{low,warning}')::double precision, (bounds #>> '{low,critical}')::double precision,
         (bounds #>> '{high,warning}')::double precision, (bounds #>> '{high,critical}')::double precision,
         bounds -> 'states'
  FROM chosen
$$;
