/**
 * Points over HTTP, as JSON or msgpack: one point a request (POST /telemetry), or several (POST /telemetry/batch).
 *
 *   send → body → [ queue ] → idle connection → answer → stats
 *
 * An open loop: nothing is sent again, and an answer that asks to wait (429 and 503 with Retry-After) changes
 * nothing but a counter. Bounds: requests and points without an answer; `room` says what is left. While connections
 * are refused one try each REFUSED_PAUSE_MS goes out, and the other points of that time count as failed the same way:
 * thousands of refused connections a second would take the processor from a server that is starting again.
 */
import { createBody, type Body, type BodyFormat } from './bodies.js'
import { CONNECT_TIMEOUT_MS, HttpConnection, requestHead, type HttpTarget, type Outcome } from './http-connection.js'
import { Histogram } from '../histogram.js'
import { countFailure, type Transport, type TransportStats } from './transport.js'

/** A batch that does not fill is sent after this time. */
const PARTIAL_BATCH_MS = 1_000
const REFUSED_PAUSE_MS = 100
/**
 * A request waits this long for one of the connections before another one is opened: a stall of the server must not
 * leave hundreds of them behind. The wait is part of the request's latency.
 */
const PATIENCE_MS = 5
/** Connections that are opened at a time: hundreds at once would hold up the event loop past the pacer's bound. */
const OPENINGS_MAX = 8
/** How often requests are looked at that wait for a connection, and those that wait for an answer. */
const OPENING_MS = 4
const TIMEOUT_CHECK_MS = 1_000
/** Cause of failure where the run ended before the answer came. */
const NO_ANSWER = 'no answer'

export interface HttpTransportOptions {
  /** Address of the server, http: or https:; a path in it is put before the server's own. */
  readonly url: URL
  /** Ids of the fleet. */
  readonly ids: readonly string[]
  /** Points a request. 1: one JSON object; more: a JSON array. In msgpack: a frame. */
  readonly batchSize: number
  readonly format: BodyFormat
  readonly connectionsMax: number
  /** Sent as Authorization: Bearer <token>. */
  readonly token: string | null
  readonly requestsMax?: number
  readonly pointsMax?: number
  readonly answerTimeoutMs?: number
}

/** Requests without an answer, on connections and in the queue together. */
const REQUESTS_MAX = 2_000
/** Points without an answer: about 50 MB of text. */
const POINTS_MAX = 400_000
const ANSWER_TIMEOUT_MS = 30_000

interface Waiting {
  readonly body: Buffer
  readonly points: number
  readonly startedMs: number
}

export class HttpTransport implements Transport {
  readonly stats: TransportStats = {
    sentMessages: 0,
    sentPoints: 0,
    acceptedPoints: 0,
    failedPoints: 0,
    failures: new Map(),
    askedToWait: 0,
    answered: true,
    latencies: new Histogram()
  }

  private readonly target: HttpTarget
  private readonly body: Body
  private readonly batchSize: number
  private readonly connectionsMax: number
  private readonly answerTimeoutMs: number
  private readonly requestsMax: number
  private readonly pointsMax: number
  private readonly connections: HttpConnection[] = []
  /** The one used last is used first, so that no more connections stay busy than the load needs. */
  private readonly idle: HttpConnection[] = []
  private readonly queue: Waiting[] = []
  private queueHead = 0
  private pendingRequests = 0
  private pendingPoints = 0
  private readonly partialTimer: NodeJS.Timeout
  private readonly timeoutTimer: NodeJS.Timeout
  private openingTimer: NodeJS.Timeout | null = null
  private refusedUntilMs = 0
  private refusedCause = ''
  private onSettled: (() => void) | null = null
  private closed = false

  constructor (options: HttpTransportOptions) {
    const { url, batchSize, token } = options
    this.body = createBody(options.format, options.ids, batchSize)
    const path = url.pathname.replace(/\/+$/, '') + (batchSize > 1 ? '/telemetry/batch' : '/telemetry')
    const authorization = token === null ? [] : [['Authorization', `Bearer ${token}`] as const]
    this.target = { url, head: requestHead(url, path, [['Content-Type', this.body.contentType], ...authorization]) }
    this.answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS
    this.batchSize = batchSize
    this.connectionsMax = options.connectionsMax
    this.requestsMax = options.requestsMax ?? REQUESTS_MAX
    this.pointsMax = Math.max(batchSize, options.pointsMax ?? POINTS_MAX)
    this.partialTimer = setTimeout(() => this.flush(), PARTIAL_BATCH_MS)
    this.partialTimer.unref()
    this.timeoutTimer = setInterval(() => this.checkTimes(), Math.min(TIMEOUT_CHECK_MS, this.answerTimeoutMs, CONNECT_TIMEOUT_MS)).unref()
  }

  get room (): number {
    const requests = this.requestsMax - this.pendingRequests
    return Math.max(0, Math.min(requests * this.batchSize, this.pointsMax - this.pendingPoints) - this.body.points)
  }

  send (satellite: number, timeMs: number, values: Float64Array): void {
    this.stats.sentPoints++
    if (this.body.points === 0) this.partialTimer.refresh()
    this.body.add(satellite, timeMs, values)
    if (this.body.points === this.batchSize) this.flush()
  }

  async drain (deadlineMs: number): Promise<void> {
    this.flush()
    if (this.pendingRequests === 0) return
    const settled = new Promise<void>(resolve => { this.onSettled = resolve })
    const deadline = setTimeout(() => this.cut(), deadlineMs)
    await settled
    clearTimeout(deadline)
  }

  /** Cuts all connections; points without an answer count as failed. Closing twice is fine. */
  close (): Promise<void> {
    this.cut()
    return Promise.resolve()
  }

  private cut (): void {
    this.closed = true
    clearTimeout(this.partialTimer)
    clearInterval(this.timeoutTimer)
    if (this.openingTimer !== null) clearTimeout(this.openingTimer)
    this.fail(NO_ANSWER, '', this.body.points)
    this.body.take()
    for (let next = this.nextWaiting(); next !== null; next = this.nextWaiting()) {
      this.fail(NO_ANSWER, '', next.points)
      this.settle(next.points)
    }
    for (const connection of this.connections) connection.cut()
  }

  /** Sends what was written as one request. */
  private flush (): void {
    const { points } = this.body
    if (points > 0) this.submit(this.body.take(), points, performance.now())
  }

  private submit (body: Buffer, points: number, startedMs: number): void {
    this.stats.sentMessages++
    if (startedMs < this.refusedUntilMs) {
      this.fail(this.refusedCause, '', points)
      return
    }
    this.pendingRequests++
    this.pendingPoints += points
    const connection = this.idle.pop() ?? (this.connections.length === 0 ? this.open() : null)
    if (connection !== null) {
      connection.send(body, points, startedMs)
      return
    }
    this.queue.push({ body, points, startedMs })
    this.openSoon()
  }

  private open (): HttpConnection {
    const connection = new HttpConnection(this.target, this.onOutcome)
    this.connections.push(connection)
    return connection
  }

  private openSoon (): void {
    if (this.connections.length >= this.connectionsMax) return
    this.openingTimer ??= setTimeout(() => {
      this.openingTimer = null
      this.openForPatient()
    }, OPENING_MS)
  }

  /** Opens connections for requests that have waited long enough for one. */
  private openForPatient (): void {
    const latestMs = performance.now() - PATIENCE_MS
    const room = Math.min(OPENINGS_MAX, this.connectionsMax - this.connections.length)
    for (let opened = 0; opened < room && (this.queue[this.queueHead]?.startedMs ?? Infinity) <= latestMs; opened++) {
      const next = this.nextWaiting()
      if (next !== null) this.open().send(next.body, next.points, next.startedMs)
    }
    if (this.queueHead < this.queue.length) this.openSoon()
  }

  private checkTimes (): void {
    const nowMs = performance.now()
    for (const connection of this.connections) connection.checkTime(nowMs, this.answerTimeoutMs)
  }

  private readonly onOutcome = (connection: HttpConnection): void => {
    const { points } = connection
    this.count(connection)
    const next = this.closed ? null : this.nextWaiting()
    if (next === null) this.idle.push(connection)
    else connection.send(next.body, next.points, next.startedMs)
    this.settle(points)
  }

  private nextWaiting (): Waiting | null {
    const next = this.queue[this.queueHead]
    if (next === undefined) return null
    this.queueHead++
    if (this.queueHead === this.queue.length || this.queueHead === this.requestsMax) {
      this.queue.splice(0, this.queueHead)
      this.queueHead = 0
    }
    return next
  }

  private count (outcome: Outcome): void {
    const { points, answer } = outcome
    if (answer === null) {
      this.fail(this.networkCause(outcome.error), '', points)
      return
    }
    this.stats.latencies.record((performance.now() - outcome.startedMs) * 1000)
    if (answer.retryAfter) this.stats.askedToWait++
    if (answer.status >= 200 && answer.status <= 299) {
      this.stats.acceptedPoints += points
      return
    }
    const { code, message } = readError(answer.body)
    this.fail(`HTTP ${answer.status}${code === '' ? '' : ' ' + code}`, message, points)
  }

  private fail (cause: string, example: string, points: number): void {
    if (points > 0) countFailure(this.stats, cause, example, points)
  }

  private networkCause (cause: string): string {
    if (this.closed) return NO_ANSWER
    if (cause === 'ECONNREFUSED') {
      this.refusedUntilMs = performance.now() + REFUSED_PAUSE_MS
      this.refusedCause = cause
    }
    return cause
  }

  private settle (points: number): void {
    this.pendingRequests--
    this.pendingPoints -= points
    if (this.pendingRequests === 0) this.onSettled?.()
  }
}

/** The code of a network error, or its name. */
export function codeOf (error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

/** Code and message of the server's answer, '' where it is not in the server's style. */
function readError (body: string): { code: string, message: string } {
  const nothing = { code: '', message: '' }
  try {
    const answer: unknown = JSON.parse(body)
    if (typeof answer !== 'object' || answer === null || !('error' in answer)) return nothing
    const { error } = answer
    if (typeof error !== 'object' || error === null) return nothing
    const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
    const message = 'message' in error && typeof error.message === 'string' ? error.message : ''
    return { code, message }
  } catch {
    return nothing
  }
}
