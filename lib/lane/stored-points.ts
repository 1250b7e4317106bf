/** Counts how many given points a database has, comparing every column there. Uses a temporary table. */
import type { Stream } from '../../protocol/catalogue.js'
import { rowColumns, rowEnd } from '../pipeline/rows/rows.js'
import { CopySorter } from '../drain/copy-rows.js'
import { countRows } from '../drain/stream-runs.js'
import type { Database } from '../database/database.js'
import { identifier } from '../database/quote.js'

const makeTable = (stream: string, columns: string): string => `
  DROP TABLE IF EXISTS pg_temp.compared_points;
  CREATE TEMPORARY TABLE compared_points AS SELECT ${columns} FROM public.${stream} WITH NO DATA`
const SPAN = 'SELECT min(time)::text AS first, max(time)::text AS last FROM pg_temp.compared_points'
/** The time span as values: only then are other chunks and partitions excluded. A point stored once counts once. */
const count = (stream: string, columns: string): string => `
  SELECT count(*)::int AS stored FROM (
    SELECT ${columns} FROM pg_temp.compared_points
    INTERSECT ALL
    SELECT ${columns} FROM public.${stream}
    WHERE time BETWEEN $1 AND $2 AND satellite_id IN (SELECT satellite_id FROM pg_temp.compared_points)
  ) shared`

/**
 * How many of the points are in the table of their stream.
 * @param payloads rows in the format of rows.ts
 */
export async function countStored (db: Database, stream: Stream, payloads: readonly Buffer[]): Promise<number> {
  const rows = countRows(payloads)
  const columns = rowColumns(stream.schema)
  const list = columns.map(identifier).join(', ')
  await db.query(makeTable(stream.name, list))
  const copy = new CopySorter(rowEnd, columns.length).sort(payloads, rows)
  const { copied } = await db.copyAfter([], `COPY pg_temp.compared_points (${list}) FROM STDIN (FORMAT binary)`, [copy])
  if (copied !== rows) throw new Error(`COPY took ${copied} rows of ${rows}`)
  const span = (await db.query<{ first: string, last: string }>(SPAN)).rows[0]
  return (await db.query<{ stored: number }>(count(stream.name, list), [span?.first, span?.last])).rows[0]?.stored ?? 0
}
