/**
 * Makes all rollups that wait at full speed, beside servers or without one: for a table that was adopted with its history.
 * Servers do none of it meanwhile, and go on with what is new.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from '../../database/connection.js'
import { LateRollups } from '../late-rollups.js'
import { isPlain } from '../rollups.js'
import { FillLease } from './lease.js'
import { FillRate, readProgress, type RollupProgress } from './progress.js'
import { Steps } from './steps.js'

export interface FillOptions {
  readonly signal: AbortSignal
  /** Called about once a second. */
  readonly onProgress: (progress: RollupProgress) => void
  /** Another server or command fills: it is waited for. */
  readonly onWaiting: () => void
}

/** A refresh of TimescaleDB looks at all chunks of its span, whatever is in it: longer ones are up to twice as fast. */
const FULL_SPEED = { bucketsMax: 2_160, quickMs: 1_000, slowMs: 5_000 }
const PROGRESS_INTERVAL_MS = 1_000
const LEASE_RETRY_MS = 100
/** Servers hold the lease for a second at a time: whoever has it for longer is another command, or died with it. */
const LEASE_WAIT_SAID_MS = 5_000
/** Somebody who holds a lock for longer, such as a policy that refreshes the same view, keeps one span from being made now. */
const LOCK_TIMEOUT = '10s'

/** Gives what is left: nothing, where all went well. Buckets that failed before are tried again. */
export async function fillRollups (database: Database, options: FillOptions): Promise<RollupProgress> {
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
      options.onProgress({ ...progress, remainingSeconds: rate.remaining(progress.waitingMinutes ?? 0, performance.now()) })
      more = await steps.take(PROGRESS_INTERVAL_MS, step)
    }
  } finally {
    if (database.alive) await lease.giveBack(database)
  }
  return { ...await readProgress(database), remainingSeconds: null }
}

/** False: a signal came first. */
async function acquire (database: Database, lease: FillLease, { signal, onWaiting }: FillOptions): Promise<boolean> {
  const beganMs = performance.now()
  for (let said = false; !signal.aborted;) {
    if (await lease.take(database)) return true
    if (!said && performance.now() - beganMs > LEASE_WAIT_SAID_MS) {
      said = true
      onWaiting()
    }
    await delay(LEASE_RETRY_MS, undefined, { signal }).catch(() => undefined)
  }
  return false
}

/** Not of the minute under way: that is the servers' to do. */
async function fillPlain (database: Database, buckets: number): Promise<boolean> {
  const { rows } = await database.query<{ more: boolean }>(
    "SELECT public.orbitstream_fill_rollups($1, (SELECT time_bucket('1 minute', watermark) FROM public.rollup_state)) AS more", [buckets])
  return rows[0]?.more === true
}
