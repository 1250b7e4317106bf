/** Refused rows that may lack only their partition: it is made here, for whichever day a row is of. */
import { rowTimeMicros } from '../pipeline/rows/rows.js'
import { isMissingPartition, type Database } from '../database/connection.js'
import { DAY_MS, makePartitions } from '../schema/partitions.js'
import { separatePoison, type PoisonRow } from './poison.js'

/**
 * Splits rows of which the server refused one (`cause`) into those that it takes and those that it does not, once the
 * partitions that they lack are made.
 * @param db with no transaction open, before and afterwards
 */
export async function separateRefused (db: Database, rows: readonly Buffer[], cause: unknown): Promise<{ good: Buffer[], poison: PoisonRow[] }> {
  const made = isMissingPartition(cause)
  if (made) await makePartitionsFor(db, rows)
  const separated = await separatePoison(db, rows)
  const lacking = separated.poison.filter((row) => row.lacksPartition)
  if (made || lacking.length === 0) return separated
  // Another row was refused first, and hid that these lack no more than their partition.
  const again = lacking.map(({ bytes }) => bytes)
  await makePartitionsFor(db, again)
  const { good, poison } = await separatePoison(db, again)
  const hidden = new Set(lacking)
  return { good: [...separated.good, ...good], poison: [...separated.poison.filter((row) => !hidden.has(row)), ...poison] }
}

/** Makes the partitions that these rows need. A row with a time that no partition can hold does not keep the others from theirs. */
async function makePartitionsFor (db: Database, rows: readonly Buffer[]): Promise<void> {
  const times = rows.map((row) => Math.floor(rowTimeMicros(new DataView(row.buffer, row.byteOffset, row.length), 0) / 1000))
  const days = new Map(times.map((time) => [Math.floor(time / DAY_MS), time]))
  await makePartitions(db, [...days.values()])
}
