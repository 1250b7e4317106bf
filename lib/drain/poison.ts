/**
 * Rows that PostgreSQL refuses though validation let them pass: found by bisecting, so that their
 * neighbours are stored. A point that is refused takes its anomalies with it; a refused anomaly leaves its point.
 *
 * All probes are COPYs in one transaction that is rolled back in the end:
 *
 *   BEGIN, SAVEPOINT ─▶ COPY of some rows ─ taken ───▶ they stay, new SAVEPOINT ─▶ the next rows … ─▶ ROLLBACK
 *                                        └─ refused ─▶ ROLLBACK TO SAVEPOINT ────▶ the first half of them …
 *
 * What was taken stays for those that follow, since a row may be refused for the sake of another one. What validation let
 * pass is refused only by what the database's owner has made: constraints, unique indexes, triggers, columns of another
 * type. Such a run may be refused from the first row to the last, and costs two probes a row, no more.
 *
 * Only data errors bisect: SQLSTATE class 22 (data exception) and 23 (integrity constraint); anything else is thrown to be
 * tried again later.
 */
import { TELEMETRY } from '../../protocol/metrics.js'
import { anomalyRowEnd, pointsOfAnomalies, readAnomalyRow } from '../pipeline/rows/anomaly-rows.js'
import { anomaliesOf, telemetryOf } from '../pipeline/rows/payload.js'
import { rowEnd, rowToPoint } from '../pipeline/rows/rows.js'
import { copyRows } from './commit.js'
import { CopySorter } from './copy-rows.js'
import { isMissingPartition, sqlState, type Database } from '../database/connection.js'

export interface PoisonRow {
  /** The row in the format of rows.ts or anomaly-rows.ts. */
  readonly bytes: Buffer
  readonly sqlState: string
  /** The server's words. */
  readonly reason: string
  /** It may be that nothing is wrong with it. */
  readonly lacksPartition: boolean
  /** The row as JSON, for people. Null if it cannot be shown as jsonb (which takes no NUL). */
  readonly json: string | null
}

/** A row of data was refused: bisect, do not retry. */
export function isDataError (error: unknown): boolean {
  const state = sqlState(error)
  return state !== null && (state.startsWith('22') || state.startsWith('23'))
}

/** The single rows of rows that stand end to end, as views. */
export function splitRows (batches: readonly Buffer[], endOf = rowEnd): Buffer[] {
  const rows: Buffer[] = []
  for (const batch of batches) {
    const view = new DataView(batch.buffer, batch.byteOffset, batch.length)
    for (let at = 0; at < batch.length;) {
      const end = endOf(view, at)
      rows.push(batch.subarray(at, end))
      at = end
    }
  }
  return rows
}

/** What a kind of row needs to be probed. */
interface RowKind {
  readonly table: 'telemetry' | 'anomalies'
  readonly end: (view: DataView, start: number) => number
  /** A row as an object, for people. */
  readonly read: (row: Buffer) => object
}

const POINTS: RowKind = { table: 'telemetry', end: rowEnd, read: (row) => rowToPoint(row, TELEMETRY) }
const ANOMALIES: RowKind = { table: 'anomalies', end: anomalyRowEnd, read: readAnomalyRow }

const SAVE = ['SAVEPOINT probe']
const SAVE_AGAIN = ['RELEASE SAVEPOINT probe', ...SAVE]
const GO_BACK = ['ROLLBACK TO SAVEPOINT probe']

/** The rows of a run, sorted out. */
export interface SeparatedRows {
  readonly points: Buffer[]
  readonly anomalies: Buffer[]
  /** Refused points first. */
  readonly poison: PoisonRow[]
  readonly poisonPoints: number
}

/** Rows of one kind, sorted out. */
interface Separated {
  readonly good: Buffer[]
  readonly poison: PoisonRow[]
}

/**
 * Splits the rows of payloads into those that the server takes and those that it does not.
 * @param db with no transaction open, before and afterwards
 * @param separatePoints how points are sorted out
 */
export async function separateRun (db: Database, payloads: readonly Buffer[], separatePoints: (rows: readonly Buffer[]) => Promise<Separated>): Promise<SeparatedRows> {
  const pointsOf = payloads.map((payload) => splitRows([telemetryOf(payload)]))
  const points = await separatePoints(pointsOf.flat())
  const refused = new Map(points.poison.map((row) => [row.bytes, row]))
  const candidates: Buffer[] = []
  const orphans: PoisonRow[] = []
  payloads.forEach((payload, index) => {
    const anomalies = splitRows([anomaliesOf(payload)], ANOMALIES.end)
    const owners = pointsOfAnomalies(pointsOf[index] ?? [], anomalies, TELEMETRY)
    anomalies.forEach((anomaly, at) => {
      const refusal = refused.get(owners[at] as Buffer)
      if (refusal === undefined) candidates.push(anomaly)
      else orphans.push({ ...refusal, bytes: anomaly, reason: `its point was refused: ${refusal.reason}`, json: jsonOf(anomaly, ANOMALIES) })
    })
  })
  const anomalies = await separatePoison(db, candidates, ANOMALIES)
  return { points: points.good, anomalies: anomalies.good, poison: [...points.poison, ...orphans, ...anomalies.poison], poisonPoints: points.poison.length }
}

/** Splits rows into those that the server takes and those that it does not. @param db with no transaction open, before and afterwards */
export async function separatePoison (db: Database, rows: readonly Buffer[], kind: RowKind = POINTS): Promise<Separated> {
  const good: Buffer[] = []
  const poison: PoisonRow[] = []
  if (rows.length === 0) return { good, poison }
  // Constraints that would speak at COMMIT alone name no row.
  await db.query('BEGIN; SET CONSTRAINTS ALL IMMEDIATE')
  const pending = [rows]
  let before = SAVE
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const refusal = await probe(db, before, part, kind)
    before = refusal === null ? SAVE_AGAIN : GO_BACK
    if (refusal === null) {
      // One by one: a call takes some hundred thousand arguments at most, and a run may hold more rows.
      for (const row of part) good.push(row)
    } else if (part.length === 1 && part[0] !== undefined) {
      poison.push(poisonRow(part[0], refusal, kind))
    } else {
      // The first half is probed first, so that rows keep their order.
      const half = part.length >>> 1
      pending.push(part.slice(half), part.slice(0, half))
    }
  }
  await db.query('ROLLBACK')
  return { good, poison }
}

/** The server's refusal of these rows, null if it takes them. @param before statements that end the last probe */
async function probe (db: Database, before: readonly string[], rows: readonly Buffer[], kind: RowKind): Promise<Error | null> {
  try {
    await copyRows(db, kind.table, { copy: new CopySorter(kind.end).sort(rows, rows.length), copyRows: rows.length }, before)
    return null
  } catch (error) {
    if (isDataError(error)) return error as Error
    throw error
  }
}

function poisonRow (bytes: Buffer, refusal: Error, kind: RowKind): PoisonRow {
  return { bytes, sqlState: sqlState(refusal) ?? '', reason: refusal.message, lacksPartition: isMissingPartition(refusal), json: jsonOf(bytes, kind) }
}

function jsonOf (row: Buffer, kind: RowKind): string | null {
  const json = JSON.stringify(kind.read(row))
  return json.includes('\\u0000') ? null : json
}
