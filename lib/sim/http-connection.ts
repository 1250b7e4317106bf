/**
 * One keep-alive connection with at most one request on it (pipelining 1: uWebSockets.js closes a socket on which
 * a second request comes before the answer to the first).
 *
 * It is its own handler for undici's low-level dispatch: nothing is made per request but what undici makes. undici
 * connects again by itself after the connection was lost. A request is never repeated.
 */
import { Client, type Dispatcher } from 'undici'

/** How a request ended. */
export interface Outcome {
  readonly points: number
  /** When it was handed over, on the clock of performance.now(). */
  readonly startedMs: number
  /** 0: there was no answer. */
  readonly status: number
  /** Network error; null if there was an answer. */
  readonly error: Error | null
  /** Body of an answer other than 2xx, up to a bound; else ''. */
  readonly body: string
  /** The answer has a Retry-After header. */
  readonly retryAfter: boolean
}

export interface HttpTarget {
  readonly origin: string
  readonly path: string
  /** Names and values in turn. */
  readonly headers: string[]
  readonly answerTimeoutMs: number
}

/** The request's own error is told by onResponseError. */
function ignoreResult (): void {}

const CONNECT_TIMEOUT_MS = 5_000
const ERROR_BODY_BYTES_MAX = 4_096

export class HttpConnection implements Dispatcher.DispatchHandler, Outcome {
  points = 0
  startedMs = 0
  status = 0
  error: Error | null = null
  body = ''
  retryAfter = false
  private readonly client: Client
  private readonly options: Dispatcher.DispatchOptions
  private readonly onOutcome: (connection: HttpConnection) => void

  /** @param onOutcome called once for each request; the connection is free for the next one then */
  constructor (target: HttpTarget, onOutcome: (connection: HttpConnection) => void) {
    this.onOutcome = onOutcome
    this.options = { method: 'POST', path: target.path, headers: target.headers }
    this.client = new Client(target.origin, {
      pipelining: 1,
      connectTimeout: CONNECT_TIMEOUT_MS,
      headersTimeout: target.answerTimeoutMs,
      bodyTimeout: target.answerTimeoutMs
    })
  }

  /** Sends a request; only while there is no other one. */
  send (body: Buffer, points: number, startedMs: number): void {
    this.points = points
    this.startedMs = startedMs
    this.status = 0
    this.error = null
    this.body = ''
    this.retryAfter = false
    this.options.body = body
    this.client.dispatch(this.options, this)
  }

  /** Cuts the connection; a request on it ends with an error, soon but not at once. */
  cut (): void {
    this.client.destroy(ignoreResult)
  }

  /** Cuts the connection and waits until it is gone. */
  async destroy (): Promise<void> {
    await this.client.destroy()
  }

  onRequestStart (): void {
    // undici asks for it; a request is never aborted alone.
  }

  onResponseStart (_controller: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    this.status = status
    this.retryAfter = headers['retry-after'] !== undefined
  }

  onResponseData (_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const failed = this.status < 200 || this.status > 299
    if (failed && this.body.length < ERROR_BODY_BYTES_MAX) this.body += chunk.toString('utf8')
  }

  onResponseEnd (): void {
    this.onOutcome(this)
  }

  onResponseError (_controller: Dispatcher.DispatchController, error: Error): void {
    this.error = error
    this.onOutcome(this)
  }
}
