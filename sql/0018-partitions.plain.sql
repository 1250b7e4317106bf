-- Partitions on demand. Those of the days around now are made ahead; one for another day is made when a row of it comes, so that
-- a start costs the same however wide the window of times is.
--
-- A partition holds a day. Where a row is from long ago or far ahead it holds what its calendar month, or year, has of days without
-- a partition: no sender can make more of them than a transaction, or a query that reads them all, has locks for. A hundred
-- years take some 250 at most, a year from now on 365 more.
--
-- The functions of before stay, for older hosts on this database.

-- Fills the gaps that a table has between two times, each with one partition, and gives their names. Attaching an empty table
-- does not wait for COPYs that are under way, as CREATE TABLE … PARTITION OF would.
CREATE FUNCTION orbitstream_fill_partitions (parent text, from_time timestamptz, to_time timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' SET search_path = public, pg_temp AS $$
DECLARE
  gap tstzrange;
  partition text;
BEGIN
  FOR gap IN
    SELECT unnest(tstzmultirange(tstzrange(from_time, to_time)) - coalesce(range_agg(tstzrange(p.lower_bound, p.upper_bound)), '{}'))
    FROM orbitstream_partitions_of(parent::regclass) p
  LOOP
    partition := parent || '_p' || CASE WHEN isfinite(lower(gap)) THEN to_char(lower(gap), 'YYYYMMDD') ELSE '_first' END;
    -- One of this name may have been detached, or be of a year before Christ.
    WHILE to_regclass(quote_ident(partition)) IS NOT NULL LOOP
      partition := partition || '_';
    END LOOP;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, partition,
      CASE WHEN isfinite(lower(gap)) THEN quote_literal(lower(gap)) ELSE 'MINVALUE' END,
      CASE WHEN isfinite(upper(gap)) THEN quote_literal(upper(gap)) ELSE 'MAXVALUE' END);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- Those of some times for which one of the tables has no partition.
CREATE FUNCTION orbitstream_without_partition (times timestamptz[]) RETURNS SETOF timestamptz
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
  WITH covered AS MATERIALIZED (
    SELECT range_intersect_agg(ranges) AS ranges
    FROM (
      SELECT coalesce(range_agg(tstzrange(p.lower_bound, p.upper_bound)) FILTER (WHERE p.name IS NOT NULL), '{}') AS ranges
      FROM unnest(ARRAY['rollup_10s', 'rollup_1m', 'anomalies', 'telemetry']) parent
      LEFT JOIN LATERAL orbitstream_partitions_of(parent::regclass) p ON true GROUP BY parent
    ) of_each
  )
  SELECT t FROM unnest(times) t, covered WHERE NOT t <@ covered.ranges ORDER BY t
$$;

-- Makes the partitions that some times need, for so many spans at most, and gives their names; none: nothing is missing. Rollups
-- and anomalies have theirs wherever telemetry has one, and before it: a query that was planned before a partition was
-- attached may run after rows have moved into it, and would miss them.
CREATE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  t timestamptz;
  unit text;
  span tstzrange;
  spans tstzmultirange := '{}';
  parent text;
BEGIN
  -- Several hosts may call this at once.
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  FOR t IN SELECT * FROM orbitstream_without_partition(times) LOOP
    CONTINUE WHEN t <@ spans;
    IF NOT isfinite(t) THEN
      RAISE EXCEPTION 'no partition for %', t USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT tstzrange(p.lower_bound, p.upper_bound) INTO span FROM orbitstream_partitions() p WHERE p.lower_bound <= t AND p.upper_bound > t;
    IF NOT FOUND THEN
      -- Two months by the day: the retention that people have is kept by the day. Then two years by the month.
      unit := CASE WHEN t BETWEEN now() - interval '62 days' AND now() + interval '62 days' THEN 'day'
                   WHEN t BETWEEN now() - interval '730 days' AND now() + interval '730 days' THEN 'month'
                   ELSE 'year' END;
      SELECT tstzrange(greatest(date_trunc(unit, t), max(p.upper_bound) FILTER (WHERE p.upper_bound <= t)),
                       least(date_trunc(unit, t) + ('1 ' || unit)::interval, min(p.lower_bound) FILTER (WHERE p.lower_bound > t)))
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

-- Drops partitions that hold nothing younger than a time, so many at most, the oldest first, and gives their names.
CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock({{partition_lock}});
  FOR partition IN
    SELECT p.name FROM unnest(ARRAY['telemetry', 'anomalies']) parent, LATERAL orbitstream_partitions_of(parent::regclass) p
    WHERE p.upper_bound <= before_time ORDER BY p.upper_bound, parent DESC LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
END
$$;

-- Drops partitions of the rollups of one width, 10s or 1m, so many at most, of days of which telemetry has nothing any more, and
-- gives their names; forgets satellites. One table a call: dropping from two at once could deadlock with whoever reads both.
CREATE FUNCTION orbitstream_drop_rollups (width text, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET timezone = 'UTC' SET search_path = public, pg_temp AS $$
DECLARE
  kept_from constant timestamptz := (SELECT min(lower_bound) FROM orbitstream_partitions());
  partition text;
BEGIN
  FOR partition IN
    SELECT p.name FROM orbitstream_partitions_of(('rollup_' || width)::regclass) p
    WHERE p.upper_bound <= kept_from ORDER BY p.upper_bound LIMIT tables_max
  LOOP
    EXECUTE format('DROP TABLE %I', partition);
    RETURN NEXT partition;
  END LOOP;
  DELETE FROM rollup_dirty WHERE bucket < kept_from;
  DELETE FROM satellites_late WHERE "time" < kept_from;
  DELETE FROM satellites_last WHERE "time" < kept_from;
END
$$;

-- Where telemetry has a partition already: one of the first release holds all days that were.
DO $$
BEGIN
  PERFORM orbitstream_make_partitions(ARRAY(
    SELECT CASE WHEN isfinite(p.lower_bound) THEN p.lower_bound ELSE p.upper_bound - interval '1 second' END FROM orbitstream_partitions() p
    WHERE isfinite(p.lower_bound) OR isfinite(p.upper_bound)), 1000);
END
$$;
