/**
 * Cost of durability: the same load with the spool (acknowledged means: on disk) and without (`SPOOL_DIR=off` and
 * `ack=received`: in memory), one after the other. Once with enough connections to saturate the machine, and once with
 * few, where a sender that waits for each response also waits for the disk. Both servers are new, and warmed up alike.
 */
import { withServer } from '../rigs/own-server.js'
import type { Results, Session } from '../session.js'
import { runThroughput, type Throughput } from './throughput.js'
import { warmUp } from './warm-up.js'

const BATCH = 1000
const FEW_CONNECTIONS = 12

const CASES: ReadonlyArray<{ readonly name: string, readonly title: string, readonly connections?: number }> = [
  { name: 'spool_full', title: 'JSON, 1000 a request' },
  { name: 'spool_few', title: `JSON, 1000 a request, ${FEW_CONNECTIONS} connections`, connections: FEW_CONNECTIONS }
]

export async function measureSpool (session: Session, results: Results): Promise<void> {
  await withServer(session, {}, async (spooled) => {
    await withServer(session, { args: ['--spool-dir', 'off'] }, async (without) => {
      await warmUp(spooled)
      await warmUp(without, 'received')
      await measureBoth(spooled, without, results)
    })
  })
}

async function measureBoth (spooled: Session, without: Session, results: Results): Promise<void> {
  for (const { name, title, connections } of CASES) {
    const load: Throughput = {
      format: 'json',
      batch: BATCH,
      seconds: spooled.plan.seconds,
      ...connections === undefined ? {} : { connections }
    }
    results.add('spool', name, `${title}, with the spool`, 'points/s', await runThroughput(spooled, load))
    results.add(
      'spool',
      `${name}_off`,
      `${title}, without`,
      'points/s',
      await runThroughput(without, { ...load, ack: 'received' })
    )
  }
}
