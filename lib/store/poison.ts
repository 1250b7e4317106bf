/**
 * Rows that PostgreSQL refuses though validation let them pass: found by bisecting, so that their
 * neighbours are stored.
 *
 * Each probe COPYs some of the rows in a transaction that is rolled back, on a connection of its own
 * (a connection on which a COPY failed is not used again). Only data errors bisect: SQLSTATE class 22
 * (data exception) and 23 (integrity constraint); anything else is thrown to be tried again later.
 */
import { rowEnd, rowToPoint } from '../pipeline/rows.js'
import { copyTelemetry } from './commit.js'
import { CopySorter } from './copy-rows.js'
import { sqlState, type Database } from './db.js'

export interface PoisonRow {
  /** The row in the format of rows.ts. */
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

/** The single rows of batches, as views. */
export function splitRows (payloads: readonly Buffer[]): Buffer[] {
  const rows: Buffer[] = []
  for (const payload of payloads) {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
    for (let at = 0; at < payload.length;) {
      const end = rowEnd(view, at)
      rows.push(payload.subarray(at, end))
      at = end
    }
  }
  return rows
}

/** Splits rows into those that the server takes and those that it does not. */
export async function separatePoison (connect: () => Promise<Database>, rows: readonly Buffer[]): Promise<{ good: Buffer[], poison: PoisonRow[] }> {
  const good: Buffer[] = []
  const poison: PoisonRow[] = []
  const pending = [rows]
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const refusal = await probe(connect, part)
    if (refusal === null) {
      // One by one: a call takes some hundred thousand arguments at most, and a run may hold more rows.
      for (const row of part) good.push(row)
    } else if (part.length === 1 && part[0] !== undefined) {
      poison.push(poisonRow(part[0], refusal))
    } else {
      // The first half is probed first, so that rows keep their order.
      const half = part.length >>> 1
      pending.push(part.slice(half), part.slice(0, half))
    }
  }
  return { good, poison }
}

/** The server's refusal of these rows, null if it takes them. */
async function probe (connect: () => Promise<Database>, rows: readonly Buffer[]): Promise<Error | null> {
  const db = await connect()
  try {
    await db.query('BEGIN')
    await copyTelemetry(db, new CopySorter().sort(rows, rows.length), rows.length)
    await db.query('ROLLBACK')
    return null
  } catch (error) {
    if (isDataError(error)) return error as Error
    throw error
  } finally {
    db.destroy()
  }
}

function poisonRow (bytes: Buffer, refusal: Error): PoisonRow {
  const json = JSON.stringify(rowToPoint(bytes))
  return {
    bytes,
    sqlState: sqlState(refusal) ?? '',
    reason: refusal.message,
    json: json.includes('\\u0000') ? null : json
  }
}
