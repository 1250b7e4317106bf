-- The limits of some satellites in a set of limits, by the rules of lib/limits/limit-set.ts; a metric without a row, or
-- with nulls only, is not checked. Of keys that differ in nothing but characters beyond U+FFFF another may be chosen.
CREATE FUNCTION orbitstream_limits_of (limits jsonb, satellites text[])
RETURNS TABLE (
  satellite_id text, metric text, low_warning double precision, low_critical double precision,
  high_warning double precision, high_critical double precision
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  WITH satellite AS (
    SELECT DISTINCT id FROM unnest(satellites) id
  ), override AS (
    SELECT o.key, strpos(o.key, '*') AS wildcard_at, m.key AS metric, m.value AS bounds
    FROM jsonb_each(limits -> 'overrides') o, jsonb_each(o.value) m
  ), candidate AS (
    SELECT id, metric, bounds, 2 AS kind, 0 AS prefix_length, 0 AS literal_length, key
    FROM satellite JOIN override ON key = id AND wildcard_at = 0
    UNION ALL
    SELECT id, metric, bounds, 1, wildcard_at, length(replace(key, '*', '')), key
    FROM satellite JOIN override ON wildcard_at > 0
      AND id LIKE replace(replace(replace(replace(key, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%')
    UNION ALL
    SELECT id, d.key, d.value, 0, 0, 0, '' FROM satellite, jsonb_each(limits -> 'default') d
  ), chosen AS (
    SELECT DISTINCT ON (id, metric) id, metric, bounds FROM candidate
    ORDER BY id, metric, kind DESC, prefix_length DESC, literal_length DESC, key COLLATE "C"
  )
  SELECT id, metric,
         (bounds #>> '{low,warning}')::double precision, (bounds #>> '{low,critical}')::double precision,
         (bounds #>> '{high,warning}')::double precision, (bounds #>> '{high,critical}')::double precision
  FROM chosen
$$;
