/**
 * A closed loop over HTTP: each connection sends its next request when the previous one was answered, until the time is
 * up; then outstanding responses are awaited, up to a deadline, so that every request has a known outcome.
 */
import { createLatencies, recordLatency } from '../../lib/sim/histogram.js'
import { prepareBody, type PreparedRequest } from '../bodies.js'
import { clockMs } from '../clock.js'
import { outcomeOf } from '../outcomes.js'
import { latencyOfHistogram } from '../statistics.js'
import { serveLoad } from './child.js'
import { ANSWER_DEADLINE_MS, type HttpJob, type HttpResult } from './jobs.js'
import { pauseAfter } from './pause.js'
import { RawConnection } from './raw-connection.js'

/** State of one connection. */
interface Lane {
  readonly connection: RawConnection
  readonly position: number
  body: number
  sentMs: number
  pauseMs: number
  waiting: boolean
}

class HttpSender {
  private readonly sent: number[]
  private readonly acknowledged: number[]
  private readonly statuses: Record<string, number> = {}
  private readonly latencies = createLatencies()
  private readonly lanes: readonly Lane[]
  private busy = 0
  private endMs = 0
  private ended = false
  private onEnd: () => void = () => {}

  private constructor (
    private readonly job: HttpJob,
    private readonly requests: readonly PreparedRequest[],
    connections: readonly RawConnection[]
  ) {
    this.sent = requests.map(() => 0)
    this.acknowledged = requests.map(() => 0)
    this.lanes = connections.map((connection, position) =>
      ({ connection, position, body: position, sentMs: 0, pauseMs: 0, waiting: false }))
  }

  static async prepare (job: HttpJob): Promise<HttpSender> {
    const { points, target, single, connections } = job
    const requests = Array.from({ length: points.bodies }, (_, body) =>
      prepareBody(target, points, body, single))
    const open = await Promise.all(
      Array.from({ length: connections }, () => RawConnection.open(target))
    )
    return new HttpSender(job, requests, open)
  }

  async run (): Promise<HttpResult> {
    const { seconds, answerDeadlineMs = ANSWER_DEADLINE_MS } = this.job
    const ended = new Promise<void>((resolve) => { this.onEnd = resolve })
    const startedAtMs = clockMs()
    this.endMs = startedAtMs + seconds * 1000
    const deadline = setTimeout(this.onEnd, seconds * 1000 + answerDeadlineMs)
    this.busy = this.lanes.length
    for (const lane of this.lanes) this.drive(lane)
    await ended
    this.ended = true
    clearTimeout(deadline)
    const unanswered = this.takeUnanswered()
    for (const { connection } of this.lanes) connection.close()
    return {
      sent: this.sent,
      acknowledged: this.acknowledged,
      statuses: this.statuses,
      unanswered,
      latency: latencyOfHistogram(this.latencies),
      startedAtMs,
      seconds: (clockMs() - startedAtMs) / 1000
    }
  }

  private drive (lane: Lane): void {
    lane.connection.onAnswer = (status, code) => { if (!this.ended) this.answered(lane, status, code) }
    this.sendNext(lane)
  }

  /** Each connection has its own bodies: a body is never changed while in flight. */
  private sendNext (lane: Lane): void {
    lane.sentMs = clockMs()
    if (lane.sentMs >= this.endMs || lane.connection.isLost) {
      if (--this.busy === 0) this.onEnd()
      return
    }
    lane.body += this.job.connections
    if (lane.body >= this.requests.length) lane.body = lane.position
    const request = this.requests[lane.body] as PreparedRequest
    request.refresh(Date.now())
    ;(this.sent[lane.body] as number)++
    lane.waiting = true
    lane.connection.send(request.bytes)
  }

  private answered (lane: Lane, status: number, code: string): void {
    lane.waiting = false
    const outcome = outcomeOf(status, code)
    this.statuses[outcome] = (this.statuses[outcome] ?? 0) + 1
    if (status >= 200 && status < 300) {
      recordLatency(this.latencies, clockMs() - lane.sentMs)
      ;(this.acknowledged[lane.body] as number)++
    }
    lane.pauseMs = pauseAfter(lane.pauseMs, status === 429 || status === 503)
    if (lane.pauseMs === 0) this.sendNext(lane)
    else setTimeout(() => this.sendNext(lane), lane.pauseMs)
  }

  /** Unanswered requests count with their age. */
  private takeUnanswered (): number {
    const open = this.lanes.filter(({ waiting }) => waiting)
    for (const { sentMs } of open) recordLatency(this.latencies, clockMs() - sentMs)
    return open.length
  }
}

serveLoad<HttpResult>((job: HttpJob) => HttpSender.prepare(job))
