/** Refused rows that may lack only their partition: it is made here when the primary's maintenance was late or away. */
import { rowTimeMicros } from '../pipeline/rows.js'
import { sqlState, type Database } from './db.js'
import { DAY_MS } from './partitions.js'
import { isDataError, separatePoison, type PoisonRow } from './poison.js'

/** PostgreSQL reports a row without a partition as a check violation. */
const CHECK_VIOLATION = '23514'

function isMissingPartition (state: string | null, message: string): boolean {
  return state === CHECK_VIOLATION && message.includes('no partition')
}

/**
 * Splits rows of which the server refused one (`cause`) into those that it takes and those that it does not, once the
 * partitions that they lack are made.
 * @param db with no transaction open, before and afterwards
 */
export async function separateRefused (db: Database, rows: readonly Buffer[], cause: unknown): Promise<{ good: Buffer[], poison: PoisonRow[] }> {
  const made = isMissingPartition(sqlState(cause), cause instanceof Error ? cause.message : '')
  if (made) await ensurePartitionsFor(db, rows)
  const separated = await separatePoison(db, rows)
  const lacking = separated.poison.filter((row) => isMissingPartition(row.sqlState, row.reason))
  if (made || lacking.length === 0) return separated
  // Another row was refused first, and hid that these lack no more than their partition.
  const again = lacking.map(({ bytes }) => bytes)
  await ensurePartitionsFor(db, again)
  const { good, poison } = await separatePoison(db, again)
  const hidden = new Set(lacking)
  return { good: [...separated.good, ...good], poison: [...separated.poison.filter((row) => !hidden.has(row)), ...poison] }
}

/** Days that are made one by one, at most; rows of others are quarantined. */
const SINGLE_DAYS_MAX = 4_000

/** Makes the partitions that these rows need. A row with a time that no partition can hold does not keep the others from theirs. */
async function ensurePartitionsFor (db: Database, rows: readonly Buffer[]): Promise<void> {
  const times = rows.map((row) => Math.floor(rowTimeMicros(new DataView(row.buffer, row.byteOffset, row.length), 0) / 1000))
  const [first, last] = times.reduce(([low, high], time) => [Math.min(low, time), Math.max(high, time)], [Infinity, -Infinity])
  if (!await ensure(db, first, last)) await ensureSingleDays(db, times)
}

/** False: the server makes none for such times, or not for so many days. */
async function ensure (db: Database, firstMs: number, lastMs: number): Promise<boolean> {
  const [first, last] = [new Date(firstMs), new Date(lastMs)]
  if (Number.isNaN(first.getTime()) || Number.isNaN(last.getTime())) return false
  try {
    await db.query('SELECT orbitstream_ensure_partitions($1, $2)', [first, last])
    return true
  } catch (error) {
    if (isDataError(error)) return false
    throw error
  }
}

async function ensureSingleDays (db: Database, times: readonly number[]): Promise<void> {
  const days = [...new Set(times.map((time) => Math.floor(time / DAY_MS) * DAY_MS))]
  for (const day of days.slice(0, SINGLE_DAYS_MAX)) await ensure(db, day, day)
}
