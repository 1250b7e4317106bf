/**
 * autocannon in a process of its own, one point a request, without times: they are those of receipt.
 *
 * Requests, answers and latencies are counted by the events of its clients. Its own result comes on a timer of a second
 * that drifts, counts requests at a fixed rate before they are sent, and adds latencies that nobody measured.
 */
import autocannon, { type Client } from 'autocannon'
import { Histogram } from '../../lib/sim/histogram.js'
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
  readonly histogram = new Histogram()
  failed = 0
  private outcomes = 0
  private onComplete: () => void = () => {}
  /** All requests that there will be have an outcome. */
  readonly complete = new Promise<void>((resolve) => { this.onComplete = resolve })

  constructor (bodies: number, private readonly requests: number) {
    this.sent = Array.from({ length: bodies }, () => 0)
    this.acknowledged = [...this.sent]
  }

  /** A client goes round the bodies, with one request on its way: an answer is that of the last one. */
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
        this.histogram.record(latencyMs * 1000)
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
  const requests = Array.from({ length: points.bodies }, (_, body) => ({ body: encodeJsonWithoutTime(pointsOf(points, body), true) }))
  const amount = requestsPerSecond === null ? Infinity : requestsPerSecond * seconds
  const counts = new Counts(points.bodies, amount)
  const cannon = autocannon({
    url: job.url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections: job.connections,
    requests,
    setupClient: counts.watch,
    // What it would add to its latencies at a fixed rate takes time of the load, and is not read.
    ...requestsPerSecond === null ? { duration: seconds } : { overallRate: requestsPerSecond, amount, ignoreCoordinatedOmission: true }
  })
  // All clients are made, and nothing of theirs is on its way before this turn of the loop ends.
  const startedAtMs = clockMs()
  await Promise.race([cannon, counts.complete])
  const { sent, acknowledged, statuses, failed, histogram } = counts
  return { sent, acknowledged, statuses, failed, latency: latencyOfHistogram(histogram), startedAtMs }
}

serveLoad<AutocannonResult>((job: AutocannonJob) => Promise.resolve({ run: () => run(job) }))
