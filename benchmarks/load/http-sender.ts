/**
 * A closed loop over HTTP: each connection sends its next request when the last one was answered, until the time is up;
 * then it waits for the answers that are missing, so that every request has a known outcome.
 */
import { Histogram } from '../../lib/sim/histogram.js'
import { prepareRequest, type PreparedRequest } from '../bodies.js'
import { pointsOf } from '../points.js'
import { latencyOfHistogram } from '../statistics.js'
import { serveLoad } from './child.js'
import type { HttpJob, HttpResult } from './jobs.js'
import { RawConnection } from './raw-connection.js'

/** Far less than Retry-After says, so that the server is never short of work. */
const REFUSED_PAUSE_MS = 10

class HttpSender {
  private readonly sent: number[]
  private readonly acknowledged: number[]
  private readonly statuses: Record<string, number> = {}
  private readonly histogram = new Histogram()
  private busy = 0
  private startMs = 0
  private endMs = 0
  private onEnd: () => void = () => {}

  private constructor (private readonly job: HttpJob, private readonly requests: readonly PreparedRequest[], private readonly connections: readonly RawConnection[]) {
    this.sent = requests.map(() => 0)
    this.acknowledged = requests.map(() => 0)
  }

  static async prepare (job: HttpJob): Promise<HttpSender> {
    const { points, target, single, connections } = job
    const requests = Array.from({ length: points.bodies }, (_, body) => prepareRequest(target, pointsOf(points, body), single))
    const open = await Promise.all(Array.from({ length: connections }, () => RawConnection.open(target.host, target.port)))
    return new HttpSender(job, requests, open)
  }

  async run (): Promise<HttpResult> {
    const ended = new Promise<void>((resolve) => { this.onEnd = resolve })
    this.startMs = performance.now()
    this.endMs = this.startMs + this.job.seconds * 1000
    this.connections.forEach((connection, position) => this.drive(connection, position))
    await ended
    for (const connection of this.connections) connection.close()
    return {
      sent: this.sent,
      acknowledged: this.acknowledged,
      statuses: this.statuses,
      latency: latencyOfHistogram(this.histogram),
      seconds: (performance.now() - this.startMs) / 1000
    }
  }

  /** Each connection has bodies of its own: a body is never changed while it is on its way. */
  private drive (connection: RawConnection, position: number): void {
    const { requests, job } = this
    let body = position
    let sentMs = 0
    const next = (): void => {
      sentMs = performance.now()
      if (sentMs >= this.endMs || connection.isLost) {
        if (--this.busy === 0) this.onEnd()
        return
      }
      body += job.connections
      if (body >= requests.length) body = position
      const request = requests[body] as PreparedRequest
      request.refresh(Date.now())
      ;(this.sent[body] as number)++
      connection.send(request.bytes)
    }
    connection.onAnswer = (status) => {
      this.histogram.record((performance.now() - sentMs) * 1000)
      this.statuses[status] = (this.statuses[status] ?? 0) + 1
      if (status >= 200 && status < 300) (this.acknowledged[body] as number)++
      // One that is asked to wait does so: what refusals cost is not what is measured.
      if (status === 429 || status === 503) setTimeout(next, REFUSED_PAUSE_MS)
      else next()
    }
    this.busy++
    next()
  }
}

serveLoad<HttpResult>((job: HttpJob) => HttpSender.prepare(job))
