-- A role that may read what is shown, for Grafana and people. It cannot log in before it is given a password. What it
-- may read is granted at each start, see lib/schema/reader.ts. Without the right to make roles there is none.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'orbitstream_reader') THEN
    CREATE ROLE orbitstream_reader NOLOGIN;
  END IF;
  -- Queries over many partitions look dear beforehand, and are over before their code would be compiled.
  ALTER ROLE orbitstream_reader SET jit = off;
EXCEPTION
  -- Another database of the same server may make it at the same moment.
  WHEN insufficient_privilege OR duplicate_object OR unique_violation OR internal_error THEN NULL;
END
$$;
