/**
 * A sender that keeps a journal: every point has a number of its own (in storage_usage_mb), and the journal knows which
 * numbers were sent and which were acknowledged. Afterwards the database must hold every acknowledged number, none
 * twice, and none that was not sent.
 */
import { Pool } from 'undici'
import type { Database } from '../../lib/store/db.js'

const CONNECTIONS = 16
const REQUEST_TIMEOUT_MS = 30_000

export interface JournalClientOptions {
  readonly url: string
  /** 1: POST /telemetry, else POST /telemetry/batch. */
  readonly pointsPerRequest: number
  /** First number, so that two clients never share one. */
  readonly firstNumber?: number
  readonly query?: string
}

export class JournalClient {
  readonly sent = new Set<number>()
  readonly acknowledged = new Set<number>()
  /** Answers that were no 202, and failures, by cause. */
  readonly failures = new Map<string, number>()
  private next: number
  private running = false
  private loops: Promise<void>[] = []
  private onAcknowledged: () => void = () => {}

  constructor (private readonly options: JournalClientOptions) {
    this.next = options.firstNumber ?? 1
  }

  /** Sends as fast as answers come, over a fixed number of connections, until stop(). Goes on when the server is away. */
  start (pointsPerSecond = Infinity): void {
    this.running = true
    const pool = new Pool(this.options.url, { connections: CONNECTIONS, pipelining: 1, headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: REQUEST_TIMEOUT_MS })
    const gapMs = 1000 * CONNECTIONS * this.options.pointsPerRequest / pointsPerSecond
    this.loops = Array.from({ length: CONNECTIONS }, async () => { await this.loop(pool, gapMs) })
    this.loops.push(Promise.all(this.loops).then(async () => { await pool.destroy() }))
  }

  async stop (): Promise<void> {
    this.running = false
    await Promise.all(this.loops)
  }

  /** Resolves when so many points more have been acknowledged. */
  async acknowledgedMore (count: number): Promise<void> {
    const target = this.acknowledged.size + count
    while (this.acknowledged.size < target) await new Promise<void>((resolve) => { this.onAcknowledged = resolve })
  }

  private async loop (pool: Pool, gapMs: number): Promise<void> {
    while (this.running) {
      const dueMs = performance.now() + gapMs
      const ok = await this.send(pool)
      // A server that is away is not hammered; a rate that was asked for is kept.
      const waitMs = ok ? dueMs - performance.now() : Math.max(20, dueMs - performance.now())
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    }
  }

  private async send (pool: Pool): Promise<boolean> {
    const { pointsPerRequest, query = '' } = this.options
    const numbers = Array.from({ length: pointsPerRequest }, () => this.next++)
    for (const number of numbers) this.sent.add(number)
    const points = numbers.map((number) => ({ satellite_id: `JOURNAL-${number % 50}`, storage_usage_mb: number }))
    try {
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: `${pointsPerRequest === 1 ? '/telemetry' : '/telemetry/batch'}${query}`,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(pointsPerRequest === 1 ? points[0] : points)
      })
      await body.dump()
      if (statusCode === 202) {
        for (const number of numbers) this.acknowledged.add(number)
        this.onAcknowledged()
        return true
      }
      this.fail(String(statusCode))
    } catch (error) {
      this.fail((error as NodeJS.ErrnoException).code ?? String(error))
    }
    return false
  }

  private fail (cause: string): void {
    this.failures.set(cause, (this.failures.get(cause) ?? 0) + 1)
  }
}

export interface Verdict {
  readonly stored: number
  /** Acknowledged and not stored. */
  readonly missing: number[]
  /** Stored more than once. */
  readonly twice: number[]
  /** Stored and never sent. */
  readonly invented: number[]
}

/** Compares the journals with what the database holds. */
export async function compareWithDatabase (db: Database, clients: readonly JournalClient[]): Promise<Verdict> {
  const { rows } = await db.query<{ number: number, count: string }>(
    "SELECT storage_usage_mb AS number, count(*) AS count FROM telemetry WHERE satellite_id LIKE 'JOURNAL-%' GROUP BY 1")
  const stored = new Set(rows.map(({ number }) => number))
  const missing = clients.flatMap((client) => [...client.acknowledged].filter((number) => !stored.has(number)))
  const twice = rows.filter(({ count }) => count !== '1').map(({ number }) => number)
  const invented = [...stored].filter((number) => !clients.some((client) => client.sent.has(number)))
  return { stored: stored.size, missing, twice, invented }
}
