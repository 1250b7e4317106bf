/**
 * JSON batches as fast as it goes for so long that the database writes the pages of the load during it: runs of a few
 * seconds follow a checkpoint, end before the next one, and their pages are thrown away with the table. Once, with --full.
 */
import type { Database } from '../../lib/database/connection.js'
import type { Results, Session } from '../session.js'
import { runThroughput } from './throughput.js'

const NAME = 'sustained_json_1000'
const BATCH = 1000
/** Of a throughput run: two minutes with --full. */
const RUNS_LONG = 12

export async function measureSustained (session: Session, results: Results): Promise<void> {
  if (results.medianRate(NAME) !== null) return
  const { db, plan } = session
  const seconds = plan.seconds * RUNS_LONG
  const before = await checkpoints(db)
  const run = await runThroughput(session, { format: 'json', batch: BATCH, seconds })
  // The one that empties the table is not of the load.
  const during = await checkpoints(db) - before - 1
  results.add('sustained', NAME, `JSON, 1000 a request, for ${seconds} s`, 'points/s', { ...run, notes: [checkpointNote(during)] })
}

export function checkpointNote (count: number): string {
  return count === 0 ? 'without a checkpoint: not sustained' : `${count} ${count === 1 ? 'checkpoint' : 'checkpoints'} of its pages`
}

/** Those that were asked for, mostly by the amount of WAL, since the database started: the timed ones come while rows are compared, too. */
async function checkpoints (db: Database): Promise<number> {
  const { rows } = await db.query<{ count: number }>('SELECT num_requested::float8 AS count FROM pg_stat_checkpointer')
  return rows[0]?.count ?? 0
}
