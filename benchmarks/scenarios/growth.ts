/** Cost per point as things grow: satellites, rows in the table, workers. Only with --full. */
import { formatCount } from '../../lib/config/setting-types.js'
import { withServer } from '../rigs/own-server.js'
import type { Results, Session } from '../session.js'
import { countRows, empty } from '../stored.js'
import { fillTable } from './fill.js'
import { runThroughput, type Throughput } from './throughput.js'
import { warmUp } from './warm-up.js'

const SATELLITES = [100, 1_000, 10_000, 100_000]
const ROWS = [0, 10_000_000, 50_000_000]
const DAY_SECONDS = 86_400
const FILL_SPAN_SECONDS_MAX = 3_600
const FILL_SATELLITES = 100
const WORKERS = [1, 2, 4]
const BATCH = 1000

export async function measureGrowth (session: Session, results: Results): Promise<void> {
  const load: Throughput = { format: 'json', batch: BATCH, seconds: session.plan.seconds }
  await growSatellites(session, load, results)
  await growRows(session, load, results)
  await growWorkers(session, load, results)
}

async function growSatellites (session: Session, load: Throughput, results: Results): Promise<void> {
  for (const satellites of SATELLITES) {
    // The cost of a new satellite is not a cost of its points.
    await runThroughput(session, { ...load, satellites })
    results.add(
      'growth',
      `growth_satellites_${satellites}`,
      `${formatCount(satellites)} satellites`,
      'points/s',
      await runThroughput(session, { ...load, satellites })
    )
  }
}

async function growRows (session: Session, load: Throughput, results: Results): Promise<void> {
  const { db } = session
  await empty(db)
  for (const rows of ROWS) {
    // The previous step may have stored more than this one starts with.
    if (await countRows(db) > rows) await empty(db)
    const missing = rows - await countRows(db)
    if (missing > 0) {
      await fillTable(db, { rows: missing, satellites: FILL_SATELLITES, spanSeconds: spanOfDay(Date.now()) })
    }
    results.add(
      'growth',
      `growth_rows_${rows}`,
      `${formatCount(rows)} rows in the table`,
      'points/s',
      await runThroughput(session, { ...load, keepRows: true })
    )
  }
  await empty(db)
}

async function growWorkers (session: Session, load: Throughput, results: Results): Promise<void> {
  for (const workers of WORKERS) {
    await withServer(session, { args: ['--workers', String(workers)] }, async (other) => {
      await warmUp(other)
      results.add(
        'growth',
        `growth_workers_${workers}`,
        `${workers} workers`,
        'points/s',
        await runThroughput(other, load)
      )
    })
  }
}

/** Span of rows that still fit into the partition that new rows go to: the current day's, in UTC. */
export function spanOfDay (nowMs: number): number {
  return Math.min(FILL_SPAN_SECONDS_MAX, Math.floor(nowMs / 1000) % DAY_SECONDS)
}
