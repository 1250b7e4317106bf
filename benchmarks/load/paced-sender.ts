/**
 * An open loop over HTTP: request n is due n / rate seconds after the start, regardless of earlier ones. A request that
 * finds no free connection waits, and its latency counts from when it was due, so that a stalled server cannot hide it
 * (coordinated omission). Node.js timers fire up to a millisecond late; the figures include that.
 */
import { createLatencies, recordLatency } from '../../lib/sim/histogram.js'
import { prepareBody, type PreparedRequest } from '../bodies.js'
import { clockMs } from '../clock.js'
import { outcomeOf } from '../outcomes.js'
import { latencyOfHistogram } from '../statistics.js'
import { serveLoad } from './child.js'
import { ANSWER_DEADLINE_MS, type PacedJob, type PacedResult } from './jobs.js'
import { ProbeSender } from './probe-sender.js'
import { RawConnection } from './raw-connection.js'

const TICK_MS = 1

/** A connection and its request. All take turns: the server would close one that idled too long. */
interface Lane {
  readonly connection: RawConnection
  dueMs: number
  body: number
}

class PacedSender {
  private readonly sent: number[]
  private readonly acknowledged: number[]
  private readonly statuses: Record<string, number> = {}
  private readonly latencies = createLatencies()
  private readonly idle: Lane[]
  /** Bodies that are not in flight, in sending order: none is changed before its response. */
  private readonly freeBodies: number[]
  private startMs = 0
  /** Number of the next request. */
  private next = 0
  private ended = false
  private onEnd: () => void = () => {}

  private constructor (
    private readonly job: PacedJob,
    private readonly requests: readonly PreparedRequest[],
    private readonly lanes: readonly Lane[],
    private readonly probes: ProbeSender
  ) {
    if (requests.length < lanes.length) throw new RangeError('each connection needs its own body')
    this.sent = requests.map(() => 0)
    this.acknowledged = requests.map(() => 0)
    this.freeBodies = [...requests.keys()]
    this.idle = [...lanes]
    for (const lane of lanes) lane.connection.onAnswer = (status, code) => this.answered(lane, status, code)
  }

  static async prepare (job: PacedJob): Promise<PacedSender> {
    const { points, target, single, connections } = job
    const requests = Array.from({ length: points.bodies }, (_, body) =>
      prepareBody(target, points, body, single))
    const lanes = await Promise.all(Array.from({ length: connections }, async () => {
      return { connection: await RawConnection.open(target), dueMs: 0, body: 0 }
    }))
    return new PacedSender(job, requests, lanes, await ProbeSender.open(job))
  }

  async run (): Promise<PacedResult> {
    const ended = new Promise<void>((resolve) => { this.onEnd = resolve })
    this.startMs = clockMs()
    this.tick()
    await ended
    this.ended = true
    const endMs = clockMs()
    const unanswered = this.takeUnanswered(endMs)
    for (const { connection } of this.lanes) connection.close()
    this.probes.close()
    return {
      sent: this.sent,
      acknowledged: this.acknowledged,
      statuses: this.statuses,
      unanswered,
      latency: latencyOfHistogram(this.latencies),
      startedAtMs: this.startMs,
      seconds: (endMs - this.startMs) / 1000,
      probesDueMs: this.probes.dueMs,
      probesAcknowledged: this.probes.acknowledged,
      probeStatuses: this.probes.statuses
    }
  }

  private get total (): number {
    return Math.floor(this.job.requestsPerSecond * this.job.seconds)
  }

  private readonly tick = (): void => {
    const { seconds, warmUpSeconds = 0, answerDeadlineMs = ANSWER_DEADLINE_MS } = this.job
    const warmUpMs = warmUpSeconds * 1000
    const elapsedMs = clockMs() - this.startMs
    this.sendDue(elapsedMs)
    this.probes.sendDue(this.startMs + warmUpMs, Math.min(elapsedMs, seconds * 1000) - warmUpMs)
    const complete = elapsedMs >= seconds * 1000 && this.next >= this.total && this.idle.length === this.lanes.length &&
      this.probes.areAnswered
    if (complete || elapsedMs > seconds * 1000 + answerDeadlineMs) this.onEnd()
    else setTimeout(this.tick, TICK_MS)
  }

  /** Whether its latency counts. */
  private counts (lane: Lane): boolean {
    return lane.dueMs >= this.startMs + (this.job.warmUpSeconds ?? 0) * 1000
  }

  private dueMsOf (number: number): number {
    return this.startMs + number * 1000 / this.job.requestsPerSecond
  }

  private sendDue (elapsedMs: number): void {
    const due = Math.min(this.total, Math.floor(elapsedMs * this.job.requestsPerSecond / 1000) + 1)
    while (this.next < due) {
      const lane = this.idle.shift()
      if (lane === undefined) return
      lane.dueMs = this.dueMsOf(this.next++)
      lane.body = this.freeBodies.shift() as number
      ;(this.sent[lane.body] as number)++
      const request = this.requests[lane.body] as PreparedRequest
      request.refresh(Date.now())
      lane.connection.send(request.bytes)
    }
  }

  private answered (lane: Lane, status: number, code: string): void {
    if (this.ended) return
    const nowMs = clockMs()
    const outcome = outcomeOf(status, code)
    this.statuses[outcome] = (this.statuses[outcome] ?? 0) + 1
    if (status >= 200 && status < 300) {
      if (this.counts(lane)) recordLatency(this.latencies, nowMs - lane.dueMs)
      ;(this.acknowledged[lane.body] as number)++
    }
    this.freeBodies.push(lane.body)
    this.idle.push(lane)
    // A request waiting for a connection is sent immediately.
    this.sendDue(nowMs - this.startMs)
  }

  /** Unanswered requests count with their age, as do those that never found a connection. */
  private takeUnanswered (endMs: number): number {
    const open = this.lanes.filter((lane) => !this.idle.includes(lane))
    for (const { dueMs } of open) recordLatency(this.latencies, endMs - dueMs)
    for (let number = this.next; number < this.total; number++) {
      recordLatency(this.latencies, endMs - this.dueMsOf(number))
    }
    return open.length
  }
}

serveLoad<PacedResult>((job: PacedJob) => PacedSender.prepare(job))
