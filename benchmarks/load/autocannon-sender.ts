/**
 * autocannon in a separate process, one point per request, without times: the server uses those of receipt.
 *
 * Requests, responses and latencies are counted from its clients' events. Its own result comes from a drifting
 * one-second timer, counts requests at a fixed rate before they are sent, and adds latencies that nobody measured.
 */
import autocannon, { type Client } from 'autocannon'
import { createLatencies, recordLatency } from '../../lib/sim/histogram.js'
import { encodeJsonWithoutTime } from '../bodies.js'
import { clockMs } from '../clock.js'
import { pointsOf } from '../points.js'
import { latencyOfHistogram } from '../statistics.js'
import { serveLoad } from './child.js'
import type { AutocannonJob, AutocannonResult } from './jobs.js'

class Counts {
  readonly sent: number[]
  readonly acknowledged: number[]
  readonly statuses: Record<string, number> = {}
  readonly latencies = createLatencies()
  failed = 0
  private outcomes = 0
  private onComplete: () => void = () => {}
  /** All requests have an outcome. */
  readonly complete = new Promise<void>((resolve) => { this.onComplete = resolve })

  constructor (bodies: number, private readonly requests: number) {
    this.sent = Array.from({ length: bodies }, () => 0)
    this.acknowledged = [...this.sent]
  }

  /** A client cycles through the bodies with one request in flight: a response belongs to the last one. */
  readonly watch = (client: Client): void => {
    const bodies = this.sent.length
    let body = bodies - 1
    client.on('request' as 'response', () => {
      body = (body + 1) % bodies
      ;(this.sent[body] as number)++
    })
    client.on('response', (status, _bytes, latencyMs) => {
      this.statuses[status] = (this.statuses[status] ?? 0) + 1
      if (status >= 200 && status < 300) {
        (this.acknowledged[body] as number)++
        recordLatency(this.latencies, latencyMs)
      }
      this.note()
    })
    for (const failure of ['connError', 'timeout']) {
      client.on(failure as 'response', () => {
        this.failed++
        this.note()
      })
    }
  }

  private note (): void {
    if (++this.outcomes >= this.requests) this.onComplete()
  }
}

async function run (job: AutocannonJob): Promise<AutocannonResult> {
  const { points, requestsPerSecond, seconds } = job
  const requests = Array.from({ length: points.bodies }, (_, body) =>
    ({ body: encodeJsonWithoutTime(pointsOf(points, body), true) }))
  const amount = requestsPerSecond === null ? Infinity : requestsPerSecond * seconds
  const counts = new Counts(points.bodies, amount)
  const cannon = autocannon({
    url: job.url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections: job.connections,
    requests,
    setupClient: counts.watch,
    // The latencies that it would add at a fixed rate take CPU time of the load, and are not used.
    ...requestsPerSecond === null
      ? { duration: seconds }
      : { overallRate: requestsPerSecond, amount, ignoreCoordinatedOmission: true }
  })
  // All clients exist, and nothing of theirs is in flight before this turn of the event loop ends.
  const startedAtMs = clockMs()
  await Promise.race([cannon, counts.complete])
  const { sent, acknowledged, statuses, failed, latencies } = counts
  return { sent, acknowledged, statuses, failed, latency: latencyOfHistogram(latencies), startedAtMs }
}

serveLoad<AutocannonResult>((job: AutocannonJob) => Promise.resolve({ run: () => run(job) }))
