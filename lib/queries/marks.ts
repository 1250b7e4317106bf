/**
 * How far the primary's background work on a stream had come when it was last read. Statements name these times besides
 * reading the present ones, so that the planner opens only the partitions after them; a statement says itself whether
 * the marks have moved back since, which only a clock that was set back does.
 */
import { strict as assert } from 'node:assert'
import type { Database } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'

export interface Mark {
  /** Where reading the newest points begins, as timestamptz. */
  readonly latest: string
  /** Where rollups end, as timestamptz. */
  readonly rolledUp: string
  /** Little is behind the mark: the index on time alone, whose scan does not grow with the table, finds it fastest. */
  readonly isLatestNear: boolean
  readonly isRolledUpNear: boolean
  /** Rollups are tables, as on PostgreSQL without TimescaleDB. */
  readonly isPlain: boolean
}

/** Old marks cost at most a partition more in the plan. */
const STALE_MS = 60_000
/** Rows of all satellites that are read for one: as many as arrive in this time. */
const NEAR = "interval '1 minute'"

export class Marks {
  private readonly known = new Map<string, { readonly mark: Mark, readonly untilMs: number }>()

  async of (db: Database, stream: string): Promise<Mark> {
    const known = this.known.get(stream)
    if (known !== undefined && performance.now() < known.untilMs) return known.mark
    const { rollupState, rollupTens } = tablesOf(stream)
    const { rows: [mark] } = await db.query<Mark>(`
      SELECT latest_watermark::text AS latest, watermark::text AS "rolledUp",
             now() - latest_watermark < ${NEAR} AS "isLatestNear", now() - watermark < ${NEAR} AS "isRolledUpNear",
             (SELECT relkind = 'p' FROM pg_catalog.pg_class WHERE oid = '${rollupTens}'::regclass) AS "isPlain"
      FROM ${rollupState}`)
    assert(mark !== undefined, 'migrations insert its only row')
    this.known.set(stream, { mark, untilMs: performance.now() + STALE_MS })
    return mark
  }

  /** They have moved back, or their server is another one. */
  forget (stream: string): void {
    this.known.delete(stream)
  }
}

/** Of one satellite: with `isNear` in a form that no index on satellites can find. @param id a parameter */
export function ofSatellite (id: string, isNear: boolean): string {
  return isNear ? `(satellite_id = ${id}) IS TRUE` : `satellite_id = ${id}`
}
