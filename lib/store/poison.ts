/**
 * Rows that PostgreSQL refuses though validation let them pass: found by bisecting, so that their
 * neighbours are stored. A point that is refused takes its anomalies with it; a refused anomaly leaves its point.
 *
 * Each probe COPYs some of the rows in a transaction that is rolled back, on a connection of its own
 * (a connection on which a COPY failed is not used again). Only data errors bisect: SQLSTATE class 22
 * (data exception) and 23 (integrity constraint); anything else is thrown to be tried again later.
 */
import { anomalyRowEnd, pointsOfAnomalies, readAnomalyRow } from '../pipeline/anomaly-rows.js'
import { anomaliesOf, telemetryOf } from '../pipeline/payload.js'
import { rowEnd, rowToPoint } from '../pipeline/rows.js'
import { copyRows } from './commit.js'
import { CopySorter } from './copy-rows.js'
import { sqlState, type Database } from './db.js'

export interface PoisonRow {
  /** The row in the format of rows.ts or anomaly-rows.ts. */
  readonly bytes: Buffer
  readonly sqlState: string
  /** The server's words. */
  readonly reason: string
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

const POINTS: RowKind = { table: 'telemetry', end: rowEnd, read: rowToPoint }
const ANOMALIES: RowKind = { table: 'anomalies', end: anomalyRowEnd, read: readAnomalyRow }

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
 * @param separatePoints how points are sorted out
 */
export async function separateRun (connect: () => Promise<Database>, payloads: readonly Buffer[], separatePoints: (rows: readonly Buffer[]) => Promise<Separated>): Promise<SeparatedRows> {
  const pointsOf = payloads.map((payload) => splitRows([telemetryOf(payload)]))
  const points = await separatePoints(pointsOf.flat())
  const refused = new Map(points.poison.map((row) => [row.bytes, row]))
  const candidates: Buffer[] = []
  const orphans: PoisonRow[] = []
  payloads.forEach((payload, index) => {
    const anomalies = splitRows([anomaliesOf(payload)], ANOMALIES.end)
    const owners = pointsOfAnomalies(pointsOf[index] ?? [], anomalies)
    anomalies.forEach((anomaly, at) => {
      const refusal = refused.get(owners[at] as Buffer)
      if (refusal === undefined) candidates.push(anomaly)
      else orphans.push({ ...refusal, bytes: anomaly, reason: `its point was refused: ${refusal.reason}`, json: jsonOf(anomaly, ANOMALIES) })
    })
  })
  const anomalies = await separatePoison(connect, candidates, ANOMALIES)
  return { points: points.good, anomalies: anomalies.good, poison: [...points.poison, ...orphans, ...anomalies.poison], poisonPoints: points.poison.length }
}

/** Splits rows into those that the server takes and those that it does not. */
export async function separatePoison (connect: () => Promise<Database>, rows: readonly Buffer[], kind: RowKind = POINTS): Promise<Separated> {
  const good: Buffer[] = []
  const poison: PoisonRow[] = []
  const pending = rows.length === 0 ? [] : [rows]
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const refusal = await probe(connect, part, kind)
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
  return { good, poison }
}

/** The server's refusal of these rows, null if it takes them. */
async function probe (connect: () => Promise<Database>, rows: readonly Buffer[], kind: RowKind): Promise<Error | null> {
  const db = await connect()
  try {
    await db.query('BEGIN')
    await copyRows(db, kind.table, { copy: new CopySorter(kind.end).sort(rows, rows.length), copyRows: rows.length })
    await db.query('ROLLBACK')
    return null
  } catch (error) {
    if (isDataError(error)) return error as Error
    throw error
  } finally {
    db.destroy()
  }
}

function poisonRow (bytes: Buffer, refusal: Error, kind: RowKind): PoisonRow {
  return { bytes, sqlState: sqlState(refusal) ?? '', reason: refusal.message, json: jsonOf(bytes, kind) }
}

function jsonOf (row: Buffer, kind: RowKind): string | null {
  const json = JSON.stringify(kind.read(row))
  return json.includes('\\u0000') ? null : json
}
