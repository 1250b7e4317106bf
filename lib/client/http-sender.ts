/**
 * Sends points over HTTP until the server has them.
 *
 *   points → bodies of BODY_POINTS → POST /telemetry[/stream]/batch → 202
 *                                         ├─ 408, 429, 500, 503, not connected: again, after Retry-After or a pause
 *                                         ├─ 413: in halves
 *                                         └─ anything else: SendError
 *
 * If a connection is lost before the answer, or the server does not know what became of a body, its points may have
 * been stored: they are sent again only if duplicates are accepted.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Agent, request, type Dispatcher } from 'undici'
import { TELEMETRY } from '../../protocol/catalogue.js'

/** A point as JSON has it. Metrics that are not known are left out, or null. */
export interface Point {
  readonly satellite_id: string
  /** ISO 8601, or milliseconds since 1970 as a number; default: when it arrives. */
  readonly time?: string | number | null
  readonly [metric: string]: string | number | boolean | null | undefined
}

export interface HttpSenderOptions {
  /** `http://host:8080` */
  readonly url: string
  /** Sent as Authorization: Bearer. */
  readonly token?: string
  /** When a body counts as sent: in the server's memory, on its disk (the default), or in the database. */
  readonly ack?: 'received' | 'spooled' | 'replicated' | 'committed'
  /** How long a body is tried; default: 5 minutes. */
  readonly patienceMs?: number
  /** Send again what may have been stored already; default: it is an error. */
  readonly acceptDuplicates?: boolean
  /** For https, in PEM: roots to trust instead of those of Node.js, and a certificate of the client. */
  readonly tls?: { readonly ca?: string, readonly cert?: string, readonly key?: string }
}

/** What was not sent, and why. */
export class SendError extends Error {
  override readonly name = 'SendError'

  constructor (
    /** As in the server's answers (protocol/SPEC.md); `unreachable` if there was none, `closed` after close(). */
    readonly code: string,
    message: string,
    /** Points at the start of the list that the server has. */
    readonly sent: number,
    /** `details` of the server's answer: which points are invalid. Their index counts from the first point not sent. */
    readonly details: readonly unknown[] = []
  ) {
    super(message)
  }
}

/** Well below the server's 10,000, so that a refused body is not a large one. */
const BODY_POINTS = 5_000
const CONNECTIONS_MAX = 8
const PATIENCE_MS = 300_000
const ANSWER_TIMEOUT_MS = 60_000
const PAUSE_MS_MIN = 100
const PAUSE_MS_MAX = 10_000
/** The server closes connections that are idle for ten seconds. */
const IDLE_MS = 5_000
/** Answers after which the same body may be sent again: nothing of it was accepted. */
const AGAIN: ReadonlySet<number> = new Set([408, 429, 500, 503])
/** Codes that say that points may have been stored. */
const UNKNOWN: ReadonlySet<string> = new Set(['outcome_unknown', 'spool_failed', 'log_unanswered'])
/** Answers of a proxy that has lost the server, or whose wait timed out: the same. */
const PROXY_UNKNOWN: ReadonlySet<number> = new Set([502, 504])
/** Envoy's 503 for a server that it has lost … */
const ENVOY_LOST = /disconnect\/reset before headers/
/** … or that it never had a connection to. */
const ENVOY_UNCONNECTED = /headers\. reset reason: (?:(?:local |remote )?connection (?:failure|timeout)|overflow)/
/** Codes of TLS errors that will not go away, such as a certificate that is not trusted. */
const TLS_FAULT = /CERT|^ERR_(TLS|SSL|OSSL)_|^UNABLE_TO_/
const PRINTABLE = /^[ -~]*$/

interface Failure {
  readonly kind: 'again' | 'unknown' | 'too_large' | 'final'
  readonly code: string
  readonly message: string
  readonly details?: readonly unknown[]
  /** Of Retry-After; 0: not said. */
  readonly waitMs?: number
}

export class HttpSender {
  private readonly agent: Agent
  private readonly base: string
  private readonly headers: Record<string, string>
  private readonly patienceMs: number
  /** Errors of connections on which nothing was sent. */
  private readonly notConnected = new WeakSet<Error>()
  private closing: Promise<void> | null = null

  /** @throws {TypeError} if the URL is not one of HTTP, or the token is not printable ASCII */
  constructor (private readonly options: HttpSenderOptions) {
    const { protocol, origin, pathname } = new URL(options.url)
    if (!/^https?:$/.test(protocol)) throw new TypeError(`${options.url} is not like http://host:8080`)
    if (options.token !== undefined && !PRINTABLE.test(options.token)) {
      throw new TypeError('the token must consist of printable ASCII characters, without a line break')
    }
    this.base = `${origin}${pathname.replace(/\/+$/, '')}/telemetry`
    this.headers = {
      'content-type': 'application/json',
      ...options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
    }
    this.patienceMs = options.patienceMs ?? PATIENCE_MS
    this.agent = new Agent({
      connections: CONNECTIONS_MAX,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      ...options.tls === undefined ? {} : { connect: options.tls }
    })
    this.agent.on('connectionError', (_origin, _targets, error) => { this.notConnected.add(error) })
  }

  /**
   * Resolves once the server has all points. Calls may overlap; points of one call arrive in their order.
   * @param stream of the server's catalogue, to which all points belong
   * @throws {SendError} points at the start of the list may have been sent: see `sent`
   */
  async send (points: readonly Point[], stream = TELEMETRY): Promise<void> {
    const path = stream === TELEMETRY ? 'batch' : `${encodeURIComponent(stream)}/batch`
    const target = `${this.base}/${path}?ack=${this.options.ack ?? 'spooled'}`
    let bodyPoints = BODY_POINTS
    for (let sent = 0; sent < points.length;) {
      const body = points.slice(sent, sent + bodyPoints)
      const failure = await this.sendBody(target, JSON.stringify(body))
      if (failure === null) {
        sent += body.length
      } else if (failure.kind === 'too_large' && body.length > 1) {
        bodyPoints = Math.ceil(body.length / 2)
      } else {
        throw new SendError(failure.code, failure.message, sent, failure.details)
      }
    }
  }

  /** Ends the connections once they are idle. What has not been sent by then is not sent any more. */
  async close (): Promise<void> {
    this.closing ??= this.agent.close()
    await this.closing
  }

  /** Null: the server has it. */
  private async sendBody (target: string, body: string): Promise<Failure | null> {
    const deadlineMs = performance.now() + this.patienceMs
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS_MAX)) {
      const failure = await this.attempt(target, body)
      const mayRepeat = failure?.kind === 'again' ||
        (failure?.kind === 'unknown' && this.options.acceptDuplicates === true)
      if (failure === null || !mayRepeat) return failure
      // At random, so that many senders do not return at once.
      const waitMs = Math.max(failure.waitMs ?? 0, pauseMs) * (1 + Math.random() / 4)
      if (performance.now() + waitMs > deadlineMs) return failure
      await wait(waitMs)
    }
  }

  private async attempt (target: string, body: string): Promise<Failure | null> {
    if (this.closing !== null) return { kind: 'final', code: 'closed', message: 'The sender was closed.' }
    try {
      return await readAnswer(await request(target, {
        method: 'POST', headers: this.headers, body, dispatcher: this.agent, headersTimeout: ANSWER_TIMEOUT_MS
      }))
    } catch (error) {
      const { code = '', message } = error as NodeJS.ErrnoException
      const text = `The server at ${this.options.url} could not be reached: ${message === '' ? code : message}`
      if (!this.notConnected.has(error as Error)) {
        return { kind: 'unknown', code: 'outcome_unknown', message: `${text}. The points may have been stored.` }
      }
      return { kind: TLS_FAULT.test(code) ? 'final' : 'again', code: 'unreachable', message: text }
    }
  }
}

async function readAnswer ({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Failure | null> {
  if (statusCode === 202) {
    // The head says it all, even if the connection is lost before the body is there.
    await body.dump().catch(() => {})
    return null
  }
  const text = await body.text()
  const error = readError(text)
  const code = error.code ?? `status_${statusCode}`
  const message = error.message ?? `The server answered ${statusCode}.`
  const waitMs = Number(headers['retry-after'] ?? 0) * 1000
  const isEnvoyLost = statusCode === 503 && ENVOY_LOST.test(text) && !ENVOY_UNCONNECTED.test(text)
  const kind = UNKNOWN.has(code) || PROXY_UNKNOWN.has(statusCode) || isEnvoyLost
    ? 'unknown'
    : AGAIN.has(statusCode) ? 'again' : statusCode === 413 ? 'too_large' : 'final'
  return { kind, code, message, details: error.details ?? [], waitMs: Number.isFinite(waitMs) ? waitMs : 0 }
}

/** The error of an answer; empty if something else than OrbitStream answered. */
function readError (text: string): { code?: string, message?: string, details?: readonly unknown[] } {
  try {
    return (JSON.parse(text) as { error?: object }).error ?? {}
  } catch {
    return {}
  }
}
