/**
 * Fills all pending rollups at full speed, with or without running servers: for an adopted table with history. Servers
 * pause their own filling meanwhile, and keep rolling up new points.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '../../database/database.js'
import { LateRollups } from '../late-rollups.js'
import { isPlain } from '../rollups.js'
import { FillLease } from './lease.js'
import { FillRate, readProgress, type RollupProgress } from './progress.js'
import { Steps } from './steps.js'

export interface FillOptions {
  readonly signal: AbortSignal
  /** Called about once a second. */
  readonly onProgress: (progress: RollupProgress) => void
  /** Called if another server or command is filling. */
  readonly onWaiting: () => void
}

/** A refresh scans all chunks of its span, even empty ones: longer spans are up to twice as fast. */
const FULL_SPEED = { bucketsMax: 2_160, quickMs: 1_000, slowMs: 5_000 }
const PROGRESS_INTERVAL_MS = 1_000
const LEASE_RETRY_MS = 100
/** Servers hold the lease for a second at a time: a longer holder is another command, or a crashed one. */
const LEASE_WAIT_LOG_MS = 5_000
/** If a lock is held for longer, such as by a policy refreshing the same view, the span is postponed. */
const LOCK_TIMEOUT = '10s'

/** Returns what is left: nothing, if all went well. Retries buckets that failed before. */
export async function fillRollups (database: Session, options: FillOptions): Promise<RollupProgress> {
  const { signal } = options
  const lease = new FillLease()
  const plain = await isPlain(database)
  await database.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`)
  await database.query('INSERT INTO public.rollup_dirty (bucket) SELECT bucket FROM public.rollup_failed')
  if (!await acquire(database, lease, options)) return { ...await readProgress(database), remainingSeconds: null }
  try {
    const steps = new Steps(FULL_SPEED)
    const late = new LateRollups()
    const rate = new FillRate()
    const step = async (buckets: number): Promise<boolean> => {
      if (signal.aborted || !await lease.take(database)) return false
      return plain ? await fillPlain(database, buckets) : await late.step(database, buckets, Infinity)
    }
    for (let more = true; more;) {
      const progress = await readProgress(database)
      const remainingSeconds = rate.remaining(progress.waitingMinutes ?? 0, performance.now())
      options.onProgress({ ...progress, remainingSeconds })
      more = await steps.take(PROGRESS_INTERVAL_MS, step)
    }
  } finally {
    if (database.alive) await lease.giveBack(database)
  }
  return { ...await readProgress(database), remainingSeconds: null }
}

/** False: aborted. */
async function acquire (database: Session, lease: FillLease, { signal, onWaiting }: FillOptions): Promise<boolean> {
  const beganMs = performance.now()
  for (let said = false; !signal.aborted;) {
    if (await lease.take(database)) return true
    if (!said && performance.now() - beganMs > LEASE_WAIT_LOG_MS) {
      said = true
      onWaiting()
    }
    await delay(LEASE_RETRY_MS, undefined, { signal }).catch(() => undefined)
  }
  return false
}

/** Leaves the current minute to the servers. */
async function fillPlain (database: Session, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(
    `SELECT public.orbitstream_fill_rollups(
       $1, (SELECT time_bucket('1 minute', watermark) FROM public.rollup_state)) AS more`, [buckets])
  return rows[0]?.more === true
}
