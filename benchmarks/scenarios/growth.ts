/** What a point costs as things grow: satellites, rows in the table, workers. Only with --full. */
import { closeSession, openSession, type Results, type Session } from '../session.js'
import { countRows, empty } from '../stored.js'
import { fillTable } from './fill.js'
import { runThroughput } from './throughput.js'

const SATELLITES = [100, 1_000, 10_000, 100_000]
const ROWS = [0, 10_000_000, 50_000_000]
/** Rows lie within the day, so that they stand in the table that new rows go to. */
const FILL_SPAN_SECONDS = 3_600
const FILL_SATELLITES = 100
const WORKERS = [1, 2, 4]
const BATCH = 1000

export async function measureGrowth (session: Session, results: Results): Promise<void> {
  const { plan, db } = session
  const load = { format: 'json', batch: BATCH, seconds: plan.seconds } as const
  for (const satellites of SATELLITES) {
    // What a satellite costs when it is met for the first time is no cost of points.
    await runThroughput(session, { ...load, satellites })
    results.add('growth', `growth_satellites_${satellites}`, `${satellites.toLocaleString('en-US')} satellites`, 'points/s', await runThroughput(session, { ...load, satellites }))
  }
  await empty(db)
  for (const rows of ROWS) {
    const missing = rows - await countRows(db)
    if (missing > 0) await fillTable(db, { rows: missing, satellites: FILL_SATELLITES, spanSeconds: FILL_SPAN_SECONDS })
    results.add('growth', `growth_rows_${rows}`, `${rows.toLocaleString('en-US')} rows in the table`, 'points/s', await runThroughput(session, { ...load, keepRows: true }))
  }
  await empty(db)
  for (const workers of WORKERS) {
    const other = await openSession(plan, { ...session.options, args: [...session.options.args, '--workers', String(workers)] })
    try {
      results.add('growth', `growth_workers_${workers}`, `${workers} workers`, 'points/s', await runThroughput(other, load))
    } finally {
      await closeSession(other)
    }
  }
}
