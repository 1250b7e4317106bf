/**
 * Background work of servers, done in turn where there is one session and no background worker: the policies'
 * refreshes, each at its interval, and BRIN summarization. The product's maintenance does the latter itself where
 * PostgreSQL counts inserted rows, which it does not in WebAssembly.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Database } from '../../lib/database/database.js'
import { MAINTENANCE, REFRESHES } from './purposes.js'
import type { Turns } from './turns.js'

export interface Chore {
  readonly purpose: string
  readonly everyMs: number
  readonly run: (database: Database) => Promise<unknown>
}

/** As often as the product's maintenance. */
const SUMMARIES_MS = 10_000
const SUMMARISE = `
  SELECT brin_summarize_new_values(i.indexrelid)
  FROM pg_inherits h JOIN pg_index i ON i.indrelid = h.inhrelid
       JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
  WHERE h.inhparent = 'public.telemetry'::regclass AND a.amname = 'brin'`

export const SUMMARIES: Chore = {
  purpose: MAINTENANCE,
  everyMs: SUMMARIES_MS,
  run: (database) => database.query(SUMMARISE)
}

/** The policies' jobs, finest first: coarser ones build on them. @param everyMs overrides their intervals */
export async function refreshChores (database: Database, everyMs?: number): Promise<Chore[]> {
  const { rows } = await database.query<{ id: number, everyMs: number }>(`
    SELECT job_id AS id, (extract(epoch FROM schedule_interval) * 1000)::float8 AS "everyMs"
    FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY schedule_interval`)
  return rows.map((job) =>
    ({ purpose: REFRESHES, everyMs: everyMs ?? job.everyMs, run: (on) => on.query(`CALL run_job(${job.id})`) }))
}

export class Chores {
  private readonly ending = new AbortController()
  private readonly running: Promise<unknown>

  /**
   * Each runs first after half of its interval, then at its interval, so that any span of whole intervals has equally
   * many.
   * @param startMs on `performance.now()`
   */
  constructor (private readonly turns: Turns, chores: readonly Chore[], startMs: number) {
    this.running = Promise.all(chores.map((chore) => this.repeat(chore, startMs)))
    // end() rejects with it.
    this.running.catch(() => undefined)
  }

  /** Waits for the running chores; rejects if one failed. */
  async end (): Promise<void> {
    this.ending.abort()
    await this.running
  }

  private async repeat (chore: Chore, startMs: number): Promise<void> {
    const { signal } = this.ending
    const { purpose, everyMs } = chore
    for (let dueMs = startMs + everyMs / 2; ; dueMs = Math.max(dueMs + everyMs, performance.now())) {
      await delay(Math.max(0, dueMs - performance.now()), undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      await this.turns.take(purpose, (database) => chore.run(database))
    }
  }
}
