import type { Session } from './database.js'

/** The server's clock, in milliseconds since 1970. */
export async function serverTimeMs (database: Session): Promise<number> {
  const { rows: [row] } = await database.query<{ now: Date }>('SELECT now() AS now')
  if (row === undefined) throw new TypeError('SELECT returned no row')
  return row.now.getTime()
}
