-- Limits on change. What the value of a metric was and since when, of metrics with such a limit: a later point with
-- another value is a change. Drains of all workers and hosts compare their points with these rows in the transaction
-- that stores them, so each change is found once. See lib/drain/changes.ts.
CREATE TABLE last_changes (
  satellite_id text COLLATE "C" NOT NULL,
  metric text COLLATE "C" NOT NULL,
  -- Of a point that had the value; those before it that come later are not compared.
  "time" timestamptz NOT NULL,
  value double precision NOT NULL,
  PRIMARY KEY (satellite_id, metric)
-- For metrics that change with every point: new versions of a row stay on its page.
) WITH (fillfactor = 50);

-- Compares values with the last known ones, and takes over those that are later and different. Values of a satellite
-- and metric are adjacent and in order of time; each came with one point or several in a row, the first and the last of
-- which are in `firsts` and `lasts`, in microseconds since 1970. `alone`: it is the only one of its satellite and
-- metric.
--
-- Returns each change by the position of its value, whether it is of the first point or the last, and the value before.
-- Row locks are taken in the order of the arrays. Without a change there are none.
CREATE FUNCTION orbitstream_note_changes (
  satellites text[], metrics text[], firsts bigint[], lasts bigint[], new_values double precision[], alone boolean[]
)
RETURNS TABLE ("position" integer, is_first boolean, value_before double precision)
LANGUAGE plpgsql SET search_path = public, pg_temp
-- Nobody knows how many rows the table will have: a look-up of each is never a bad plan.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  given record;
  satellite text;
  name text;
  known_time timestamptz;
  known_value double precision;
  is_moved boolean := false;
BEGIN
  FOR given IN
    SELECT e.satellite, e.name, e.value, e.position::integer AS position,
           timestamptz 'epoch' + e.first * interval '1 microsecond' AS first,
           timestamptz 'epoch' + e.last * interval '1 microsecond' AS last
    FROM unnest(satellites, metrics, firsts, lasts, new_values, alone) WITH ORDINALITY
         AS e (satellite, name, first, last, value, is_alone, position)
      LEFT JOIN last_changes c ON c.satellite_id = e.satellite AND c.metric = e.name
    WHERE NOT e.is_alone OR c.value IS NULL
      OR (c.value <> e.value AND c."time" < timestamptz 'epoch' + e.last * interval '1 microsecond')
    ORDER BY e.position
  LOOP
    IF satellite IS DISTINCT FROM given.satellite OR name IS DISTINCT FROM given.name THEN
      -- Once, however often it changes: a transaction that updates a row again and again gets slower each time.
      IF is_moved THEN
        UPDATE last_changes c SET "time" = known_time, value = known_value
          WHERE c.satellite_id = satellite AND c.metric = name;
      END IF;
      is_moved := false;
      satellite := given.satellite;
      name := given.name;
      LOOP
        SELECT c."time", c.value INTO known_time, known_value FROM last_changes c
          WHERE c.satellite_id = satellite AND c.metric = name FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO last_changes AS c (satellite_id, metric, "time", value)
          VALUES (satellite, name, given.first, given.value) ON CONFLICT DO NOTHING
          RETURNING c."time", c.value INTO known_time, known_value;
        EXIT WHEN FOUND;
      END LOOP;
    END IF;
    CONTINUE WHEN known_value = given.value OR known_time >= given.last;
    "position" := given.position;
    is_first := known_time < given.first;
    value_before := known_value;
    known_time := CASE WHEN is_first THEN given.first ELSE given.last END;
    known_value := given.value;
    is_moved := true;
    RETURN NEXT;
  END LOOP;
  IF is_moved THEN
    UPDATE last_changes c SET "time" = known_time, value = known_value
      WHERE c.satellite_id = satellite AND c.metric = name;
  END IF;
END
$$;
