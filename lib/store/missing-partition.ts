/** Partitions that a COPY turned out to need: made when the primary's maintenance was late or away. */
import { rowTimeMicros } from '../pipeline/rows.js'
import { sqlState, type Database } from './db.js'

/** PostgreSQL reports a row without a partition as a check violation. */
const CHECK_VIOLATION = '23514'

export function isMissingPartition (error: unknown): boolean {
  return sqlState(error) === CHECK_VIOLATION && error instanceof Error && error.message.includes('no partition')
}

/** Makes the partitions that these rows need. */
export async function ensurePartitionsFor (connect: () => Promise<Database>, rows: readonly Buffer[]): Promise<void> {
  let first = Infinity
  let last = -Infinity
  for (const row of rows) {
    const micros = rowTimeMicros(new DataView(row.buffer, row.byteOffset, row.length), 0)
    first = Math.min(first, micros)
    last = Math.max(last, micros)
  }
  const db = await connect()
  try {
    await db.query('SELECT orbitstream_ensure_partitions($1, $2)', [new Date(first / 1000), new Date(last / 1000)])
  } finally {
    await db.close()
  }
}
