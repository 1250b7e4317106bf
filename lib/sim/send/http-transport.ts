/**
 * Points over HTTP, as JSON or msgpack: one point per request (POST /telemetry) or several (POST /telemetry/batch).
 *
 *   send → body → [ queue ] → idle connection → answer → stats
 *
 * An open loop: nothing is resent, and a response that asks to wait (429 and 503 with Retry-After) only increments a
 * counter. Unanswered requests and points are bounded; `room` is what is left. While connections are refused, one
 * attempt goes out every REFUSED_PAUSE_MS and all other points of that time fail with the same cause: thousands of
 * refused connections a second would take CPU from a server that is restarting.
 */
import type { ConnectionOptions } from 'node:tls'
import { TELEMETRY } from '../../../protocol/catalogue.js'
import type { PointSchema } from '../../../protocol/schema.js'
import { systemCode } from '../../support/errors.js'
import { AnswerReader } from './http-answer.js'
import { createBody, type Body, type BodyFormat } from './bodies.js'
import { CONNECT_TIMEOUT_MS, HttpConnection, requestHead, type HttpTarget, type Outcome } from './http-connection.js'
import { recordLatency } from '../histogram.js'
import { countFailure, createStats, type Outlet, type Transport, type TransportStats } from './transport.js'

/** An incomplete batch is sent after this time. */
const PARTIAL_BATCH_MS = 1_000
const REFUSED_PAUSE_MS = 100
/**
 * How long a request waits for a connection before another one is opened: a stall of the server must not leave hundreds
 * of them behind. The wait is part of the request's latency.
 */
const PATIENCE_MS = 5
/**
 * Connections opened at a time: opening hundreds at once would block the event loop for longer than the pacer allows.
 */
const OPENINGS_MAX = 8
/** How often requests waiting for a connection are checked, and those waiting for a response. */
const OPENING_MS = 4
const TIMEOUT_CHECK_MS = 1_000
/** Cause of failure when the run ends before the response arrives. */
const NO_ANSWER = 'no answer'

export interface HttpTransportOptions {
  /** Address of the server, http: or https:; a path is prefixed to the server's own. */
  readonly url: URL
  /** Ids of the fleet. */
  readonly ids: readonly string[]
  readonly schema: PointSchema
  /** Its name. Default: `telemetry`. */
  readonly stream?: string
  /** Shared with other streams; default: its own. */
  readonly stats?: TransportStats
  /** Points per request. 1: one JSON object; more: a JSON array. With msgpack: a frame. */
  readonly batchSize: number
  readonly format: BodyFormat
  readonly connectionsMax: number
  /** Sent as Authorization: Bearer <token>. */
  readonly token: string | null
  /** For https. */
  readonly tls?: ConnectionOptions
  readonly requestsMax?: number
  readonly pointsMax?: number
  readonly answerTimeoutMs?: number
}

/** Unanswered requests, in flight and queued. */
const REQUESTS_MAX = 2_000
/** Unanswered points: about 50 MB of text. */
const POINTS_MAX = 400_000
const ANSWER_TIMEOUT_MS = 30_000

interface Waiting {
  readonly body: Buffer
  readonly points: number
  readonly startedMs: number
}

export class HttpTransport implements Transport, Outlet {
  readonly stats: TransportStats
  readonly messagePoints: number

  private readonly target: HttpTarget
  private readonly body: Body
  private readonly connectionsMax: number
  private readonly answerTimeoutMs: number
  private readonly requestsMax: number
  private readonly pointsMax: number
  private readonly connections: HttpConnection[] = []
  /** Most recently used first, so that no more connections stay busy than the load needs. */
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
    const { url, token, tls = {}, stream = TELEMETRY } = options
    this.stats = options.stats ?? createStats(true)
    this.body = createBody(options.format, options.ids, options.schema, options.batchSize)
    this.messagePoints = this.body.pointsMax
    const path = `${url.pathname.replace(/\/+$/, '')}/telemetry${stream === TELEMETRY ? '' : `/${stream}`}` +
      (options.batchSize > 1 ? '/batch' : '')
    const authorization = token === null ? [] : [['Authorization', `Bearer ${token}`] as const]
    const headers = [['Content-Type', this.body.contentType] as const, ...authorization]
    this.target = { url, tls, head: requestHead(url, path, headers), answers: new AnswerReader() }
    this.answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS
    this.connectionsMax = options.connectionsMax
    this.requestsMax = options.requestsMax ?? REQUESTS_MAX
    this.pointsMax = Math.max(this.messagePoints, options.pointsMax ?? POINTS_MAX)
    this.partialTimer = setTimeout(() => this.flush(), PARTIAL_BATCH_MS)
    this.partialTimer.unref()
    const checkMs = Math.min(TIMEOUT_CHECK_MS, this.answerTimeoutMs, CONNECT_TIMEOUT_MS)
    this.timeoutTimer = setInterval(() => this.checkTimes(), checkMs).unref()
  }

  get room (): number {
    const requests = this.requestsMax - this.pendingRequests
    return Math.max(0, Math.min(requests * this.messagePoints, this.pointsMax - this.pendingPoints) - this.body.points)
  }

  send (satellite: number, timeMs: number, values: Float64Array): void {
    this.stats.sentPoints++
    if (this.body.points === 0) this.partialTimer.refresh()
    this.body.add(satellite, timeMs, values)
    if (this.body.points === this.messagePoints) this.flush()
  }

  async drain (deadlineMs: number): Promise<void> {
    this.flush()
    if (this.pendingRequests === 0) return
    const settled = new Promise<void>(resolve => { this.onSettled = resolve })
    const deadline = setTimeout(() => this.cut(), deadlineMs)
    await settled
    clearTimeout(deadline)
  }

  /** Drops all connections; unanswered points count as failed. Idempotent. */
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

  /** Sends the points collected so far as one request. */
  private flush (): void {
    const { points } = this.body
    if (points > 0) this.submit(this.body.take(), points, performance.now())
  }

  /** @param body valid only during the call */
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
      connection.send(body, points, startedMs, startedMs)
      return
    }
    this.queue.push({ body: Buffer.from(body), points, startedMs })
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

  /** Opens connections for requests that have waited long enough. */
  private openForPatient (): void {
    const nowMs = performance.now()
    const latestMs = nowMs - PATIENCE_MS
    const room = Math.min(OPENINGS_MAX, this.connectionsMax - this.connections.length)
    for (let opened = 0; opened < room && (this.queue[this.queueHead]?.startedMs ?? Infinity) <= latestMs; opened++) {
      const next = this.nextWaiting()
      if (next !== null) this.open().send(next.body, next.points, next.startedMs, nowMs)
    }
    if (this.queueHead < this.queue.length) this.openSoon()
  }

  private checkTimes (): void {
    const nowMs = performance.now()
    for (const connection of this.connections) connection.checkTime(nowMs, this.answerTimeoutMs)
  }

  private readonly onOutcome = (connection: HttpConnection): void => {
    const { points } = connection
    const nowMs = performance.now()
    this.count(connection, nowMs)
    const next = this.closed ? null : this.nextWaiting()
    if (next === null) this.idle.push(connection)
    else connection.send(next.body, next.points, next.startedMs, nowMs)
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

  private count (outcome: Outcome, nowMs: number): void {
    const { points, answer } = outcome
    if (answer === null) {
      this.fail(this.networkCause(outcome.error), '', points)
      return
    }
    recordLatency(this.stats.latencies, nowMs - outcome.startedMs)
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

/** The code of a network error; its name if it has none. */
export function codeOf (error: unknown): string {
  const code = systemCode(error)
  return code !== '' ? code : error instanceof Error ? error.name : String(error)
}

/** Code and message of the server's error; '' if the body is not in the server's format. */
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
