-- Run again when the catalogue of metrics grows.
--
-- The newest point of each satellite, for all streams: grouping rows by hashing them. Sorting those of few satellites,
-- which the planner prefers, takes as long as all the rest.
DO $$
DECLARE
  found regprocedure;
BEGIN
  FOR found IN
    SELECT p.oid FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname ~ '^orbitstream_(.+_)?newest_points$'
      AND NOT coalesce(p.proconfig, '{}') @> '{enable_sort=off}'
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET enable_sort = off', found);
  END LOOP;
END
$$;
