/**
 * Whether the clock may be far ahead, so that everything seems to be past its retention. A dead battery sets it to any
 * year, and the embedded PostgreSQL has no clock of its own.
 *
 * Points tell. Partitions expire day by day; when more than that has expired, some points of the retention period must
 * be at least a day old. So nothing is lost while senders have the right time. If their clocks are as wrong as ours,
 * there is a day to notice. After a pause as long as the retention, the old points stay for one more day.
 */
import { DAY_MS } from '../config/setting-types.js'
import type { Session } from '../database/database.js'
import { identifier } from '../database/quote.js'
import { expired } from '../schema/partitions.js'

/** A table with partitions, and the age at which its rows are dropped. */
export interface Retained {
  /** Of its stream. */
  readonly session: Session
  readonly table: string
  readonly retentionMs: number
  /** Whether its rows are points. */
  readonly hasPoints: boolean
}

/** A shorter retention cannot be told from a clock that is ahead. */
const RETENTION_MS_MIN = 2 * DAY_MS

/** Whether dropping at this time would remove more than a day, and no points speak for the time. */
export async function isInDoubt (all: readonly Retained[], nowMs: number): Promise<boolean> {
  const long = all.filter(({ retentionMs }) => retentionMs >= RETENTION_MS_MIN)
  const shortestMs = Math.min(...long.map(({ retentionMs }) => retentionMs))
  for (const retained of long) {
    if (await losesDays(retained, nowMs)) return !await someSpeakFor(all, nowMs, shortestMs)
  }
  return false
}

async function losesDays ({ session, table, retentionMs }: Retained, nowMs: number): Promise<boolean> {
  const names = await expired(session, [table], { retentionMs: retentionMs + DAY_MS }, nowMs)
  for (const name of names.filter((each) => each !== table)) {
    if ((await session.query(`SELECT 1 FROM public.${identifier(name)} LIMIT 1`)).rowCount > 0) return true
  }
  return false
}

async function someSpeakFor (all: readonly Retained[], nowMs: number, retentionMs: number): Promise<boolean> {
  for (const { session, table, hasPoints } of all) {
    if (!hasPoints) continue
    const { rowCount } = await session.query(
      `SELECT 1 FROM public.${identifier(table)} WHERE "time" >= $1 AND "time" < $2 LIMIT 1`,
      [new Date(nowMs - retentionMs), new Date(nowMs - DAY_MS)])
    if (rowCount > 0) return true
  }
  return false
}
