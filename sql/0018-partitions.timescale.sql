-- Chunks make themselves, and policies drop them: these do nothing of that, and stand here for whoever knows only plain PostgreSQL.
CREATE FUNCTION orbitstream_make_partitions (times timestamptz[], spans_max integer) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';
CREATE FUNCTION orbitstream_drop_partitions (before_time timestamptz, tables_max integer) RETURNS SETOF text
LANGUAGE sql AS 'SELECT NULL::text WHERE false';

-- Forgets satellites, as before.
CREATE FUNCTION orbitstream_drop_rollups (width text, tables_max integer) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
  PERFORM orbitstream_drop_rollups(width);
END
$$;
