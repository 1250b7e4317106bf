/** Connections for what is acknowledged: their COMMIT waits for PostgreSQL's disk, whatever server, database and role say. */
import { connect, type Database } from './db.js'

/** Stricter settings, which wait for replicas too, stay. */
const WAIT_FOR_DISK = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"

/** @throws what connect() throws */
export async function connectDurably (databaseUrl: string, options: Parameters<typeof connect>[1]): Promise<Database> {
  const database = await connect(databaseUrl, options)
  try {
    await database.query(WAIT_FOR_DISK)
    return database
  } catch (error) {
    database.destroy()
    throw error
  }
}
