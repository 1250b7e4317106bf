/** The stored points: emptied before a run, awaited after it; compared in comparison.ts. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from '../lib/database/database.js'
import { clockMs } from './clock.js'

const POLL_MS = 10
/** A total unchanged for this long is final, unless acknowledged points are missing. */
const QUIET_MS = 1_500
const STORE_DEADLINE_MS = 120_000

/** Tables with points, and rollups made of them. Another build may lack some. */
const POINT_TABLES = ['telemetry', 'rollup_10s', 'rollup_1m', 'rollup_dirty', 'satellites_last', 'satellites_late']

/** Empties the tables and flushes pending writes of earlier runs. */
export async function empty (db: Database): Promise<void> {
  const { rows } = await db.query<{ tables: string }>(
    "SELECT string_agg(name, ', ') AS tables FROM unnest($1::text[]) name WHERE to_regclass(name) IS NOT NULL",
    [POINT_TABLES]
  )
  await db.query(`TRUNCATE ${rows[0]?.tables ?? ''}`)
  await db.query('CHECKPOINT')
}

/** Rows committed according to all ledgers together. */
export async function ledgerTotal (db: Database): Promise<number> {
  const { rows } = await db.query<{ total: string }>(
    'SELECT coalesce(sum(rows_total), 0)::text AS total FROM ingest_ledger')
  return Number(rows[0]?.total)
}

export interface Awaited {
  /** Points that must be stored, however long the database takes. */
  readonly acknowledged: number
  /** Points that may be stored: those beyond the acknowledged ones have no known outcome. */
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
 * Waits until the ledgers show everything sent since `before`, or everything acknowledged and no change for a while. A
 * drain that lost its connection retries within five seconds, so acknowledged points are awaited until the deadline.
 */
export async function settle (
  db: Database,
  before: number,
  { acknowledged, sent }: Awaited,
  { quietMs, deadlineMs }: Patience = PATIENCE
): Promise<Settled> {
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
