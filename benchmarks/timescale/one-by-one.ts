/** copyAfter() for databases that are not accessed over the PostgreSQL protocol. */
import type { Database } from '../../lib/database/database.js'
import type { PipedOutcome } from '../../lib/database/piped-copy.js'

export async function oneByOne (
  db: Pick<Database, 'query'> & { copyIn (sql: string, chunks: readonly Buffer[]): Promise<number> },
  statements: readonly string[],
  sql: string,
  chunks: readonly Buffer[]
): Promise<PipedOutcome> {
  const counts: number[] = []
  for (const statement of statements) counts.push((await db.query(statement)).rowCount)
  return { counts, copied: await db.copyIn(sql, chunks) }
}
