/**
 * Cost of rollups: the same load while they are computed, and while another session holds the lock under which one host
 * computes them. Each load runs long enough that buckets of its own points are rolled up.
 */
import { formatCount } from '../../lib/config/setting-types.js'
import type { Results, Session } from '../session.js'
import { runPaced } from './latency.js'
import { runThroughput } from './throughput.js'

const RATE = 100_000
const BATCH = 1000
/** Three buckets of ten seconds. */
const SECONDS = 32

export async function measureRollups (session: Session, results: Results): Promise<void> {
  const at = `${formatCount(RATE)} points/s`
  for (const { suffix, title, held } of [
    { suffix: '', title: 'with rollups', held: false },
    { suffix: '_off', title: 'without', held: true }
  ]) {
    const lock = held ? await session.server.connect() : null
    try {
      // Longer than our sessions may idle in a transaction.
      await lock?.query('SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT FROM rollup_state FOR UPDATE')
      results.add('rollups', `rollups_rate${suffix}`, `${at}, ${title}`, 'points/s', await runPaced(session, {
        pointsPerSecond: RATE,
        seconds: SECONDS,
        ack: 'spooled'
      }))
      results.add(
        'rollups',
        `rollups_full${suffix}`,
        `JSON, 1000 a request, ${title}`,
        'points/s',
        await runThroughput(session, { format: 'json', batch: BATCH, seconds: SECONDS })
      )
    } finally {
      await lock?.close()
    }
  }
}
