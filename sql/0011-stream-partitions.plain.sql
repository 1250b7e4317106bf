-- Partitions of anomalies, which all streams share: only one caller at a time may make or drop them.

-- Creates the partitions that the given times need, for at most spans_max spans, and returns their names; no names:
-- none is missing. Rollups and anomalies get a partition wherever telemetry has one, and before it: a query planned
-- before a partition was attached may run after rows have moved into it, and would miss them.
CREATE OR REPLACE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  t timestamptz;
  unit text;
  span tstzrange;
  spans tstzmultirange := '{}';
  parent text;
BEGIN
  -- Several hosts may call this at once, and several streams. ATTACH takes this lock too, and writers do not wait for it.
  LOCK TABLE ONLY anomalies, ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR t IN SELECT * FROM orbitstream_without_partition(times) LOOP
    CONTINUE WHEN t <@ spans;
    IF NOT isfinite(t) THEN
      RAISE EXCEPTION 'no partition for %', t USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT tstzrange(p.lower_bound, p.upper_bound) INTO span
      FROM orbitstream_partitions() p WHERE p.lower_bound <= t AND p.upper_bound > t;
    IF NOT FOUND THEN
      -- Two months by the day, since retention is usually a number of days; then two years by the month.
      unit := CASE WHEN t BETWEEN now() - interval '62 days' AND now() + interval '62 days' THEN 'day'
                   WHEN t BETWEEN now() - interval '730 days' AND now() + interval '730 days' THEN 'month'
                   ELSE 'year' END;
      SELECT tstzrange(greatest(date_trunc(unit, t), max(p.upper_bound) FILTER (WHERE p.upper_bound <= t)),
                       least(date_trunc(unit, t) + ('1 ' || unit)::interval,
                             min(p.lower_bound) FILTER (WHERE p.lower_bound > t)))
        INTO span FROM orbitstream_partitions() p;
    END IF;
    FOREACH parent IN ARRAY ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry'] LOOP
      RETURN QUERY SELECT * FROM orbitstream_fill_partitions(parent, lower(span), upper(span));
    END LOOP;
    spans := spans + tstzmultirange(span);
    spans_max := spans_max - 1;
    EXIT WHEN spans_max <= 0;
  END LOOP;
END
$$;

-- Drops at most tables_max partitions whose rows are all older than a time, oldest first, and returns their names.
CREATE OR REPLACE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  partition text;
BEGIN
  LOCK TABLE ONLY anomalies, ONLY telemetry IN SHARE UPDATE EXCLUSIVE MODE;
  FOR partition IN
    SELECT p.name
    FROM unnest(ARRAY['telemetry', 'anomalies']) parent, LATERAL orbitstream_partitions_of(parent::regclass) p
    WHERE p.upper_bound <= before_time ORDER BY p.upper_bound, parent DESC LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
END
$$;
