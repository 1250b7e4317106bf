/** Refused rows that may only lack a partition: creates the partition for whatever day the row belongs to. */
import { rowTimeMicros } from '../pipeline/rows/rows.js'
import type { Stream } from '../../protocol/catalogue.js'
import { isMissingPartition } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { inStream } from '../database/stream-tables.js'
import { DAY_MS } from '../config/setting-types.js'
import { makePartitions } from '../schema/partitions.js'
import { isDataError, separatePoison, type Separated } from './poison.js'

/**
 * Separates rows, one of which the server refused (`cause`), into accepted and refused ones, after creating the
 * partitions that they lack.
 * @param db with no open transaction, before and after
 * @param separate default: they are points
 */
export async function separateRefused (
  db: Database, stream: Stream, rows: readonly Buffer[], cause: unknown,
  separate = async (rows: readonly Buffer[]): Promise<Separated> => await separatePoison(db, stream, rows)
): Promise<Separated> {
  const made = isMissingPartition(cause)
  if (made) await makePartitionsFor(db, stream, rows)
  const separated = await separate(rows)
  const lacking = separated.poison.filter((row) => row.lacksPartition)
  if (made || lacking.length === 0) return separated
  // Another row was refused first, which hid that these only lack a partition.
  const again = lacking.map(({ bytes }) => bytes)
  await makePartitionsFor(db, stream, again)
  const { good, poison } = await separate(again)
  const hidden = new Set(lacking)
  const stillRefused = separated.poison.filter((row) => !hidden.has(row))
  return { good: [...separated.good, ...good], poison: [...stillRefused, ...poison] }
}

/**
 * Creates the partitions that these rows need. A time that no partition can cover does not affect the other rows, nor
 * does a day whose partition is refused, for instance because rows of that day are in a DEFAULT partition: rows that
 * need it go into quarantine.
 */
async function makePartitionsFor (db: Database, stream: Stream, rows: readonly Buffer[]): Promise<void> {
  const timeMs = ({ buffer, byteOffset, length }: Buffer): number =>
    Math.floor(rowTimeMicros(new DataView(buffer, byteOffset, length), 0) / 1000)
  const times = rows.map(timeMs)
  const days = new Map(times.map((time) => [Math.floor(time / DAY_MS), time]))
  const session = inStream(db, stream.name)
  const refuses = async (wanted: readonly number[]): Promise<boolean> =>
    await makePartitions(session, wanted).then(() => false, (error: unknown) => {
      if (isDataError(error)) return true
      throw error
    })
  if (!await refuses([...days.values()])) return
  for (const time of days.values()) await refuses([time])
}
