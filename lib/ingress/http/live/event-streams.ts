/**
 * Server-Sent Events: what all streams of one kind share. Clients are counted and bounded, kept alive, and their tokens
 * checked again every few seconds.
 *
 * A slow client costs nothing: what does not fit into its connection is dropped, never queued (HttpStream.write), and
 * whoever writes tells it later what it missed. So a client holds at most one chunk in memory.
 */
import type { ErrorCode } from '../../../support/errors.js'
import type { Headers, HttpStream } from '../engines/engine.js'
import type { RouteCall } from '../api/reply.js'
import type { TokenCheck } from '../api/tokens.js'

/** A client whose stream has begun. */
export interface StreamClient {
  /** Writes what is due, or a comment. */
  keepAlive (): void
  /** The stream is over. */
  closed (): void
}

/** Creates the client of a stream that begins. @param end ends the stream */
type Create = (stream: HttpStream, end: () => void) => StreamClient
/** A code: the reason to refuse it. */
export type Beginning = Create | ErrorCode

/** Less than the ten seconds after which servers and proxies consider a silent connection dead. */
export const KEEP_ALIVE_MS = 5_000
/** Streams of one kind, per worker. */
export const STREAMS_MAX = 256

const HEADERS: Headers = [['content-type', 'text/event-stream'], ['cache-control', 'no-store']]
const TOO_MANY = { message: `This worker already serves ${STREAMS_MAX} such streams; retry later.` }
export const NOTHING_NEW = ': nothing new\n\n'

interface Open {
  readonly stream: HttpStream
  readonly client: StreamClient
  /** The request's header. */
  readonly authorization: string
}

/** @param data JSON, hence one line */
export function eventText (name: string, data: string): string {
  return `event: ${name}\ndata: ${data}\n\n`
}

export class EventStreams {
  private readonly open = new Set<Open>()
  /** Requests whose streams have not begun. */
  private opening = 0
  private timer: NodeJS.Timeout | null = null

  constructor (private readonly tokens: TokenCheck) {}

  /**
   * Answers a request with a stream once `ask` calls back, which it does once, in time, and is told whether the stream
   * has begun.
   */
  accept (call: RouteCall, ask: (settle: (beginning: Beginning) => boolean) => void): void {
    const { request, exchange, counters } = call
    const authorization = request.header('authorization')
    if (request.method === 'HEAD') {
      counters.ok++
      exchange.reply(200, HEADERS, '')
      return
    }
    if (this.open.size + this.opening >= STREAMS_MAX) {
      call.fail('too_many_streams', TOO_MANY)
      return
    }
    this.opening++
    ask((beginning) => {
      this.opening--
      if (typeof beginning === 'string') {
        call.fail(beginning)
      } else if (exchange.aborted) {
        counters.aborted++
      } else {
        counters.ok++
        return this.begin(call, beginning, authorization)
      }
      return false
    })
  }

  private begin (call: RouteCall, create: Create, authorization: string): boolean {
    const state: { open: Open | null, isClosed: boolean } = { open: null, isClosed: false }
    const stream = call.exchange.stream(200, HEADERS, () => {
      state.isClosed = true
      if (state.open !== null) this.drop(state.open)
    })
    // A closing server ends a stream as it begins.
    if (state.isClosed) return false
    const end = (): void => {
      if (state.open !== null) this.end(state.open)
    }
    state.open = { stream, client: create(stream, end), authorization }
    this.open.add(state.open)
    this.timer ??= setInterval(() => this.keepAlive(), KEEP_ALIVE_MS)
    return true
  }

  private keepAlive (): void {
    for (const each of this.open) {
      const { client, authorization } = each
      if (typeof this.tokens.check({ header: () => authorization }, 'read') === 'string') this.end(each)
      else client.keepAlive()
    }
  }

  private end (open: Open): void {
    open.stream.end()
    this.drop(open)
  }

  private drop (open: Open): void {
    if (!this.open.delete(open)) return
    open.client.closed()
    if (this.open.size > 0 || this.timer === null) return
    clearInterval(this.timer)
    this.timer = null
  }
}
