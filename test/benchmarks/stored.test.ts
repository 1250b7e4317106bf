import t from 'tap'
import type { Database } from '../../lib/database/database.js'
import { settle } from '../../benchmarks/stored.js'

/** A ledger that returns these totals one after another, then the last one forever. */
function ledger (totals: readonly number[]): { db: Database, asked: () => number } {
  let asked = 0
  const query = async (): Promise<unknown> =>
    await Promise.resolve({ rows: [{ total: String(totals[Math.min(asked++, totals.length - 1)]) }] })
  return { db: { query } as unknown as Database, asked: () => asked }
}

const PATIENCE = { quietMs: 30, deadlineMs: 60_000 }
const quiet = (count: number): number[] => Array.from({ length: count }, () => 100)

t.test('acknowledged points are awaited even if nothing changes for a while', async t => {
  const { db } = ledger([...quiet(20), 110])
  t.equal((await settle(db, 90, { acknowledged: 20, sent: 20 }, PATIENCE)).committed, 20)
})

t.test('points without a known outcome are awaited until nothing changes', async t => {
  const { db, asked } = ledger([...quiet(40), 110])
  t.equal((await settle(db, 90, { acknowledged: 0, sent: 20 }, PATIENCE)).committed, 10)
  t.ok(asked() > 1)
  const acknowledged = ledger([100, 110, 115])
  t.equal(
    (await settle(acknowledged.db, 90, { acknowledged: 20, sent: 30 }, PATIENCE)).committed,
    25,
    'others may be among the first twenty'
  )
})

t.test('stops waiting at the deadline', async t => {
  const { db } = ledger([100])
  t.equal((await settle(db, 90, { acknowledged: 20, sent: 20 }, { quietMs: 10, deadlineMs: 50 })).committed, 10)
})
