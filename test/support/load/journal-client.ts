/**
 * A sender that keeps a journal: every point has a unique number (in storage_usage_mb), and the journal records which
 * numbers were sent and which were acknowledged. Afterwards the database must hold every acknowledged number, none
 * twice, and none that was not sent.
 */
import { createHistogram } from 'node:perf_hooks'
import { Pool } from 'undici'
import type { Database } from '../../../lib/database/database.js'
import { within } from '../eventually.js'
import { NumberSet } from './number-set.js'

/** Default: as many requests may be in flight. */
export const CONNECTIONS = 16
const REQUEST_TIMEOUT_MS = 30_000
const FAILURE_PAUSE_MS = 20
const PROGRESS_DEADLINE_MS = 60_000
const COMPARE_ROWS_MAX = 50_000

export interface JournalClientOptions {
  readonly url: string
  /** 1: POST /telemetry, otherwise POST /telemetry/batch. A function is called for each request. */
  readonly pointsPerRequest: number | (() => number)
  /** First number; clients must not share any. */
  readonly firstNumber?: number
  readonly query?: string | (() => string)
  /** Default: CONNECTIONS. */
  readonly connections?: number
}

export class JournalClient {
  readonly sent: NumberSet
  readonly acknowledged: NumberSet
  /** Answers other than 202, and failed requests, by cause. */
  readonly failures = new Map<string, number>()
  /** 429 and 503 answers without Retry-After. */
  withoutRetryAfter = 0
  /** Longest time without an acknowledgement, between the first and the last. */
  longestGapMs = 0
  /** From request to 202, in microseconds. */
  readonly answerMicros = createHistogram()
  private lastAcknowledgedMs: number | null = null
  private next: number
  private running = false
  private pool: Pool | null = null
  private loops: Promise<void>[] = []
  private readonly connections: number
  private readonly watchers = new Set<() => void>()

  constructor (private readonly options: JournalClientOptions) {
    this.next = options.firstNumber ?? 1
    this.connections = options.connections ?? CONNECTIONS
    this.sent = new NumberSet(this.next)
    this.acknowledged = new NumberSet(this.next)
  }

  /** Sends as fast as answers arrive, over a fixed number of connections, until stop(). Keeps going during outages. */
  start (pointsPerSecond = Infinity): void {
    this.running = true
    this.moveTo(this.options.url)
    this.loops = Array.from({ length: this.connections }, async () => { await this.loop(pointsPerSecond) })
  }

  /** Switches to another address; requests in flight to the old one fail. */
  moveTo (url: string): void {
    void this.pool?.destroy()
    this.pool = new Pool(url, {
      connections: this.connections, pipelining: 1, headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: REQUEST_TIMEOUT_MS
    })
  }

  async stop (): Promise<void> {
    this.running = false
    await Promise.all(this.loops)
    await this.pool?.destroy()
    this.pool = null
  }

  /** Resolves when this many more points have been acknowledged. */
  async acknowledgedMore (count: number): Promise<void> {
    const target = this.acknowledged.size + count
    await this.until(`${count} more points are acknowledged`, () => this.acknowledged.size >= target)
  }

  /** Resolves when this many requests have failed with the cause: a status, or an error code. */
  async failed (cause: string, times: number): Promise<void> {
    await this.until(`${times} failures with ${cause}`, () => (this.failures.get(cause) ?? 0) >= times)
  }

  private async until (what: string, reached: () => boolean): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!reached()) await new Promise<void>((resolve) => this.watchers.add(resolve))
    }
    await within(what, PROGRESS_DEADLINE_MS, wait()).catch((cause: unknown) => {
      throw new Error(`${(cause as Error).message}; failures: ${JSON.stringify([...this.failures])}`)
    })
  }

  private async loop (pointsPerSecond: number): Promise<void> {
    let dueMs = performance.now()
    while (this.running) {
      const { pointsPerRequest } = this.options
      const points = typeof pointsPerRequest === 'number' ? pointsPerRequest : pointsPerRequest()
      // Paced from the due time to hold the rate; a backlog of more than a second is dropped.
      dueMs = Math.max(dueMs, performance.now() - 1000) + 1000 * this.connections * points / pointsPerSecond
      const ok = await this.send(points)
      // Backs off while the server is unreachable.
      const waitMs = Math.max(ok ? 0 : FAILURE_PAUSE_MS, dueMs - performance.now())
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }

  private async send (points: number): Promise<boolean> {
    const { query = '' } = this.options
    const numbers = Array.from({ length: points }, () => this.next++)
    for (const number of numbers) this.sent.add(number)
    const body = numbers.map((number) => ({ satellite_id: `JOURNAL-${number % 50}`, storage_usage_mb: number }))
    const sentMs = performance.now()
    try {
      const answer = await (this.pool as Pool).request({
        method: 'POST',
        path: `${points === 1 ? '/telemetry' : '/telemetry/batch'}${typeof query === 'string' ? query : query()}`,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(points === 1 ? body[0] : body)
      })
      await answer.body.dump()
      if (answer.statusCode === 202) {
        for (const number of numbers) this.acknowledged.add(number)
        const nowMs = performance.now()
        this.answerMicros.record(Math.max(1, Math.round((nowMs - sentMs) * 1000)))
        this.longestGapMs = Math.max(this.longestGapMs, nowMs - (this.lastAcknowledgedMs ?? nowMs))
        this.lastAcknowledgedMs = nowMs
        this.wake()
        return true
      }
      const hasRetryAfter = answer.headers['retry-after'] !== undefined
      if ([429, 503].includes(answer.statusCode) && !hasRetryAfter) this.withoutRetryAfter++
      this.fail(String(answer.statusCode))
    } catch (error) {
      this.fail((error as NodeJS.ErrnoException).code ?? String(error))
    }
    return false
  }

  private fail (cause: string): void {
    this.failures.set(cause, (this.failures.get(cause) ?? 0) + 1)
    this.wake()
  }

  private wake (): void {
    for (const resolve of this.watchers) resolve()
    this.watchers.clear()
  }
}

export interface Verdict {
  readonly stored: number
  /** Acknowledged but not stored. */
  readonly missing: number[]
  /** Stored more than once. */
  readonly twice: number[]
  /** Stored but never sent. */
  readonly invented: number[]
}

/** Compares the journals with the database, in one snapshot. */
export async function compareWithDatabase (db: Database, clients: readonly JournalClient[]): Promise<Verdict> {
  const stored = new NumberSet(0)
  const twice: number[] = []
  await db.query(`BEGIN; DECLARE numbers CURSOR FOR
    SELECT storage_usage_mb AS number FROM telemetry WHERE satellite_id LIKE 'JOURNAL-%'`)
  for (;;) {
    const { rows } = await db.query<{ number: number }>(`FETCH ${COMPARE_ROWS_MAX} FROM numbers`)
    if (rows.length === 0) break
    for (const { number } of rows) {
      if (stored.has(number)) twice.push(number)
      stored.add(number)
    }
  }
  await db.query('COMMIT')
  const missing = clients.flatMap((client) => [...client.acknowledged].filter((number) => !stored.has(number)))
  const invented = [...stored].filter((number) => !clients.some((client) => client.sent.has(number)))
  return { stored: stored.size, missing, twice, invented }
}
