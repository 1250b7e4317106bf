-- A read-only role for Grafana and people. It cannot log in until it is given a password. Its privileges are granted at
-- each start, see lib/schema/reader.ts. If this user may not create roles, the role does not exist.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'orbitstream_reader') THEN
    CREATE ROLE orbitstream_reader NOLOGIN;
  END IF;
  -- Queries over many partitions look expensive to the planner, but finish before their code would be compiled.
  ALTER ROLE orbitstream_reader SET jit = off;
EXCEPTION
  -- Another database of the same server may be creating it at the same moment.
  WHEN insufficient_privilege OR duplicate_object OR unique_violation OR internal_error THEN NULL;
END
$$;
