/** Watches for probes in the table, with SELECT on a separate connection. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Database } from '../../lib/database/database.js'
import { clockMs } from '../clock.js'
import { PROBE_ID, type PacedResult } from '../load/jobs.js'
import { probeProblems } from '../outcomes.js'
import type { RunRecord } from '../result.js'
import { latencyOf } from '../statistics.js'

const POLL_PAUSE_MS = 1
/** Probes not visible by then are lost. */
const LOST_MS = 2_000

const PROBE_INDEX = 'bench_probes'
const PROBE_QUERY = 'bench_probes_from'
/** The database's clock is behind the watcher's by less than this. */
const CLOCK_SLACK_MS = 60_000

/** Polls until all probes are visible. */
export class ProbeWatcher {
  private readonly seenAtMs = new Map<number, number>()
  private expected = Infinity
  private finishedMs = Infinity
  /** All probes with lower numbers are visible. */
  private next = 0

  private constructor (private readonly db: Database) {}

  /** Creates the probe index, which close() drops, and plans the SELECT once: planning would dominate each poll. */
  static async open (db: Database): Promise<ProbeWatcher> {
    await db.query(
      `CREATE INDEX IF NOT EXISTS ${PROBE_INDEX} ON telemetry (storage_usage_mb) WHERE satellite_id = '${PROBE_ID}'`
    )
    // Statistics say that the table is empty: without this the planner might scan all of it.
    await db.query('SET enable_seqscan = off')
    await db.query('SET enable_bitmapscan = off')
    await db.query('SET plan_cache_mode = force_generic_plan')
    // A constant time lets the planner exclude all other partitions.
    const since = new Date(Date.now() - CLOCK_SLACK_MS).toISOString()
    await db.query(`PREPARE ${PROBE_QUERY} (double precision) AS SELECT storage_usage_mb AS number FROM telemetry
      WHERE time >= '${since}' AND satellite_id = '${PROBE_ID}' AND storage_usage_mb >= $1`)
    return new ProbeWatcher(db)
  }

  async watch (): Promise<void> {
    while (this.seenAtMs.size < this.expected && clockMs() - this.finishedMs < LOST_MS) {
      const found = await this.poll()
      const nowMs = clockMs()
      for (const number of found) {
        if (!this.seenAtMs.has(number)) this.seenAtMs.set(number, nowMs)
      }
      while (this.seenAtMs.has(this.next)) this.next++
      await wait(POLL_PAUSE_MS)
    }
  }

  /** The total is known at the end. */
  finish (expected: number): void {
    this.expected = expected
    this.finishedMs = clockMs()
  }

  record (result: PacedResult, seconds: number): RunRecord {
    const times = result.probesDueMs.flatMap((dueMs, number) => {
      const seenMs = this.seenAtMs.get(number)
      return seenMs === undefined ? [] : [seenMs - dueMs]
    })
    const lost = result.probesAcknowledged - times.length
    const problems = [
      ...lost > 0 ? [`${lost} probes were acknowledged but never became visible`] : [],
      ...probeProblems(result)
    ]
    const sent = result.probesDueMs.length
    return {
      rate: times.length / seconds,
      seconds,
      sent,
      acknowledged: result.probesAcknowledged,
      stored: times.length,
      latency: latencyOf(times),
      problems
    }
  }

  async close (): Promise<void> {
    await this.db.query(`DROP INDEX IF EXISTS ${PROBE_INDEX}`)
    await this.db.close()
  }

  /** Numbers of probes in the table that may be new. */
  private async poll (): Promise<number[]> {
    const { rows } = await this.db.query<{ number: number }>(`EXECUTE ${PROBE_QUERY} (${this.next})`)
    return rows.map(({ number }) => number)
  }
}
