/** What is in the database: emptied before a run, waited for and compared point by point after it. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from '../lib/store/db.js'
import { satelliteOf, type PointSet } from './points.js'

const POLL_MS = 10
/** A total that has not moved for this long does not move any more. */
const QUIET_MS = 1_500
const STORE_DEADLINE_MS = 120_000
const PROBLEMS_MAX = 5

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

export interface Settled {
  /** Points committed since `before`. */
  readonly committed: number
  /** When the last of them was seen, on the clock of performance.now(). */
  readonly atMs: number
}

/** Waits until the ledgers show `expected` points more than `before`, or show no more for a while. */
export async function settle (db: Database, before: number, expected: number): Promise<Settled> {
  const deadlineMs = performance.now() + STORE_DEADLINE_MS
  let committed = await ledgerTotal(db) - before
  let atMs = performance.now()
  while (committed < expected && performance.now() - atMs < QUIET_MS && performance.now() < deadlineMs) {
    await wait(POLL_MS)
    const now = await ledgerTotal(db) - before
    if (now !== committed) atMs = performance.now()
    committed = now
  }
  return { committed, atMs }
}

export async function countRows (db: Database): Promise<number> {
  const { rows } = await db.query<{ count: string }>('SELECT count(*)::text AS count FROM telemetry')
  return Number(rows[0]?.count)
}

/** How often each body may stand in the table: at least as often as it was acknowledged, at most as often as it was sent. */
export interface Expected {
  readonly points: PointSet
  readonly acknowledged: readonly number[]
  readonly sent: readonly number[]
}

export interface Comparison {
  /** Points of the load in the table. */
  readonly stored: number
  readonly problems: readonly string[]
}

interface StoredPoint {
  readonly number: number
  readonly count: string
  readonly first: string
  readonly last: string
}

/** Reads every point of a load back and compares how often it is there, and of which satellite. */
export async function compare (db: Database, expected: Expected): Promise<Comparison> {
  const { rows } = await db.query<StoredPoint>(
    'SELECT storage_usage_mb * 2 AS number, count(*)::text AS count, min(satellite_id) AS first, max(satellite_id) AS last ' +
    "FROM telemetry WHERE satellite_id LIKE 'SAT-%' GROUP BY 1")
  return compareRows(rows, expected)
}

/** See `compare`. */
export function compareRows (rows: readonly StoredPoint[], { points, acknowledged, sent }: Expected): Comparison {
  const counts = new Map(rows.map((row) => [row.number, Number(row.count)]))
  let stored = 0
  let lost = 0
  let extra = 0
  for (let body = 0; body < points.bodies; body++) {
    for (let number = body * points.batch; number < (body + 1) * points.batch; number++) {
      const count = counts.get(number) ?? 0
      stored += count
      lost += Math.max(0, (acknowledged[body] ?? 0) - count)
      extra += Math.max(0, count - (sent[body] ?? 0))
      counts.delete(number)
    }
  }
  const problems: string[] = []
  if (lost > 0) problems.push(`${lost} points were acknowledged and are not stored`)
  if (extra > 0) problems.push(`${extra} points are stored more often than they were sent`)
  if (counts.size > 0) problems.push(`${counts.size} points are stored that were never sent`)
  const wrong = rows.filter(({ number, first, last }) => first !== last || first !== satelliteOf(number, points.satellites))
  if (wrong.length > 0) problems.push(`${wrong.length} points are stored with a wrong satellite, such as ${String(wrong[0]?.first)}`)
  return { stored, problems: problems.slice(0, PROBLEMS_MAX) }
}
