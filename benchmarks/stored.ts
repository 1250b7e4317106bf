/** What is in the database: emptied before a run, and waited for after it. Comparing it is comparison.ts's. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from '../lib/database/connection.js'
import { clockMs } from './clock.js'

const POLL_MS = 10
/** A total that has not moved for this long does not move any more, unless what was acknowledged is missing. */
const QUIET_MS = 1_500
const STORE_DEADLINE_MS = 120_000

/** Tables that hold the points; rollups go with what they were made of. Another build may not have all of them. */
const POINT_TABLES = ['telemetry', 'rollup_10s', 'rollup_1m', 'rollup_dirty', 'satellites_last', 'satellites_late']

/** Empty tables, and nothing of earlier runs that the database still has to write. */
export async function empty (db: Database): Promise<void> {
  const { rows } = await db.query<{ tables: string }>("SELECT string_agg(name, ', ') AS tables FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL", [POINT_TABLES])
  await db.query(`TRUNCATE ${rows[0]?.tables ?? ''}`)
  await db.query('CHECKPOINT')
}

/** Rows that all ledgers together have committed. */
export async function ledgerTotal (db: Database): Promise<number> {
  const { rows } = await db.query<{ total: string }>('SELECT coalesce(sum(rows_total), 0)::text AS total FROM ingest_ledger')
  return Number(rows[0]?.total)
}

export interface Awaited {
  /** Points that must come, however long the database keeps them waiting. */
  readonly acknowledged: number
  /** Points that may come: those beyond the acknowledged ones have no known outcome. */
  readonly sent: number
}

export interface Settled {
  /** Points committed since `before`. */
  readonly committed: number
  /** When the last of them was seen, on `clockMs`. */
  readonly atMs: number
}

export interface Patience {
  readonly quietMs: number
  readonly deadlineMs: number
}

const PATIENCE: Patience = { quietMs: QUIET_MS, deadlineMs: STORE_DEADLINE_MS }

/**
 * Waits until the ledgers show all that was sent since `before`, or all that was acknowledged and no more for a while. A drain
 * that lost its connection tries again within five seconds: what was acknowledged is waited for until the deadline.
 */
export async function settle (db: Database, before: number, { acknowledged, sent }: Awaited, { quietMs, deadlineMs }: Patience = PATIENCE): Promise<Settled> {
  const startMs = clockMs()
  let committed = await ledgerTotal(db) - before
  let atMs = clockMs()
  const mayCome = (nowMs: number): boolean => committed < acknowledged || nowMs - atMs < quietMs
  while (committed < sent && clockMs() - startMs < deadlineMs && mayCome(clockMs())) {
    await wait(POLL_MS)
    const now = await ledgerTotal(db) - before
    if (now !== committed) atMs = clockMs()
    committed = now
  }
  return { committed, atMs }
}

export async function countRows (db: Database): Promise<number> {
  const { rows } = await db.query<{ count: string }>('SELECT count(*)::text AS count FROM telemetry')
  return Number(rows[0]?.count)
}
