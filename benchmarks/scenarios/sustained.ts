/**
 * JSON batches at full speed, long enough for the database to write the load's pages meanwhile: runs of a few seconds
 * follow a checkpoint, end before the next one, and their pages are discarded with the table. Once, with --full.
 */
import type { Database } from '../../lib/database/database.js'
import type { Results, Session } from '../session.js'
import { runThroughput } from './throughput.js'

const NAME = 'sustained_json_1000'
const BATCH = 1000
/** Length in throughput runs: two minutes with --full. */
const RUNS_LONG = 12

export async function measureSustained (session: Session, results: Results): Promise<void> {
  if (results.medianRate(NAME) !== null) return
  const { db, plan } = session
  const seconds = plan.seconds * RUNS_LONG
  const before = await checkpoints(db)
  const run = await runThroughput(session, { format: 'json', batch: BATCH, seconds })
  // The checkpoint when emptying the table is not the load's.
  const during = await checkpoints(db) - before - 1
  results.add('sustained', NAME, `JSON, 1000 a request, for ${seconds} s`, 'points/s', {
    ...run,
    notes: [checkpointNote(during)]
  })
}

export function checkpointNote (count: number): string {
  return count === 0
    ? 'without a checkpoint: not sustained'
    : `${count} ${count === 1 ? 'checkpoint' : 'checkpoints'} of its pages`
}

/**
 * Requested checkpoints since the database started, mostly triggered by WAL size. Timed ones also occur while rows are
 * compared.
 */
async function checkpoints (db: Database): Promise<number> {
  const { rows } = await db.query<{ count: number }>('SELECT num_requested::float8 AS count FROM pg_stat_checkpointer')
  return rows[0]?.count ?? 0
}
