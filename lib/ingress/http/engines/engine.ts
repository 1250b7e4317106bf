/**
 * The interface between OrbitStream and an HTTP server. There are two engines: uWebSockets.js (uws/) and node:http
 * (node/). The same conformance suite runs on both.
 *
 * Both promise:
 * - A head that leaves the end of its request ambiguous (RFC 9112, 6.3: several lengths, a length together with chunks,
 *   another transfer coding), or has several hosts, is refused, and its connection closed, before anything after it is
 *   parsed.
 * - An answer may be given before the body has arrived. The rest of a short body is read and discarded, for about ten
 *   seconds at most, so that a client with a persistent connection can continue with its next request. A long body
 *   (lingering.ts) is not read any further: the answer closes the connection, once its client has had time to read it.
 * - A head that is incomplete ten seconds after the connection was opened or the last answer sent ends its connection.
 *   A body slower than BODY_BYTES_PER_SECOND_MIN over BODY_STALL_MS fails with 'request_timeout', and the connection is
 *   closed after the answer. A client that reads nothing of its answer for as long is cut off.
 * - What clients have not read yet is bounded in total (unread.ts).
 * - HEAD is answered with the head only, whatever the handler replies.
 * - With TLS, a connection that does not complete its handshake in ten seconds, or does not speak TLS, is closed.
 *
 * node:http supports all of RFC 9112. engine-check.ts finds out what the loaded binary of uWebSockets.js does not.
 * Besides, uWebSockets.js closes a connection without an answer if a head or the next request is too slow, answers
 * `Expect: 100-continue` by itself, even for a request that is then refused (node:http only when the body is read), and
 * closes the connection after a chunked body.
 */
import type { ErrorCode } from '../../../support/errors.js'
import type { TlsMaterial } from '../../../support/tls.js'
import type { UnreadTotal } from './unread-total.js'

/** Request line and headers together: the default of Node.js, and four times that of uWebSockets.js. */
export const HEAD_BYTES_MAX = 16 * 1024
/** Time-out for a head, for the next request, and for a client that stops reading, as built into uWebSockets.js. */
export const IDLE_MS = 10_000
/** Time in which a body must make progress. Below IDLE_MS, when uWebSockets.js disconnects without an answer. */
export const BODY_STALL_MS = 8_000
/** A slower body counts as stalled. */
export const BODY_BYTES_PER_SECOND_MIN = 16 * 1024

/** What an engine itself refuses, before a request reaches the routes (refusals.ts). */
export const REFUSALS = [
  'malformed_request', 'unsupported_transfer_encoding', 'request_timeout', 'body_too_large', 'expectation_failed',
  'head_too_large', 'too_many_connections', 'too_many_client_connections', 'too_busy'
] as const satisfies readonly ErrorCode[]

export type RefusalCode = typeof REFUSALS[number]
/** The status whose answer has neither body nor length. */
export const NOT_MODIFIED = 304

export type Headers = ReadonlyArray<readonly [name: string, value: string]>

/** The head of a request. Valid only until the handler returns. */
export interface HttpRequest {
  /** Upper case. */
  readonly method: string
  /** Path without the query, as sent. */
  readonly path: string
  /** Query without '?', '' if absent. */
  readonly query: string
  /** The value, '' if absent. @param name lower case */
  header (name: string): string
  /** IP address of the other end of the connection; '' if it is gone. */
  address (): string
}

/** 'too_busy': incomplete bodies use all the memory for them. 'malformed_request': invalid chunks. */
export type BodyFailure = 'body_too_large' | 'too_many_chunks' | 'request_timeout' | 'length_required' | 'too_busy' |
  'malformed_request' | 'aborted'

/** Body and answer of one request. Every method is safe to call after the client has disconnected. */
export interface HttpExchange {
  /** The client disconnected before it was answered. */
  readonly aborted: boolean
  /** Reads the body. Call it at most once, before the handler returns. `body` is valid only during onBody. */
  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void
  /**
   * Sends the complete answer. Calls after the first have no effect. False: it is large, and too much already waits for
   * clients to read it; nothing was sent, and the caller answers that instead.
   */
  reply (status: number, headers: Headers, body: string | Buffer): boolean
  /**
   * Starts an unbounded answer (Server-Sent Events, exports), at once or later. The head may be sent with the first
   * chunk. onClose is called once, when the client has disconnected or the server closes, but not after end() or cut().
   * @param whenClosing what a closing server does to it: cut() if an end would mean that nothing is missing
   */
  stream (status: number, headers: Headers, onClose: () => void, whenClosing?: StreamEnding): HttpStream
}

export type StreamEnding = 'end' | 'cut'

export interface HttpStream {
  /**
   * False: the chunk was dropped, because the client reads too slowly or has disconnected, or, if the stream may end at
   * any time, because too much waits for other clients to read it.
   */
  write (chunk: string | Buffer): boolean
  /** Resolves when the next chunk will be taken, or the stream is over. One caller at a time. */
  writable (): Promise<void>
  end (): void
  /** Closes the connection in the middle of the answer, so that the client sees that it is incomplete. */
  cut (): void
}

export type HttpHandler = (request: HttpRequest, exchange: HttpExchange) => void

export interface HttpServer {
  readonly port: number
  /**
   * Takes up another certificate, for new connections; those that are open keep theirs. Only for a server with TLS.
   * Rejects if the engine cannot use it; the previous one then stays. The same one again costs nothing.
   */
  useTls (material: TlsMaterial): Promise<void>
  /**
   * Hands over to another process that listens on the same port: stops listening, but serves the connections that it
   * has, and ends each with its next answer. One that stays idle ends by the time-out for the next request, as it would
   * have anyway: closing it earlier could meet a request that is on its way (RFC 9112, 9.5). Event streams end at once,
   * exports go on. Resolves, closed, when no connection is left, or after deadlineMs, when the rest are cut.
   */
  retire (deadlineMs: number): Promise<void>
  /**
   * Stops listening; requests under way are answered, after which their connections are closed; streams end at once.
   * Resolves when no connection is left, or after deadlineMs, when the rest are cut. Later calls share its promise.
   */
  close (deadlineMs: number): Promise<void>
}

/** Bounds the connections of each address. */
export interface AddressBound {
  /** False: one too many; then close() is called for it nevertheless. */
  open (address: string): boolean
  close (address: string): void
}

export interface ServerTls {
  readonly material: TlsMaterial
  /** Where files without a name can be created, for uWebSockets.js, which takes no text. */
  readonly directory: string
}

export interface ListenOptions {
  /** Default: plain HTTP. */
  readonly tls?: ServerTls | null
  /** Default: BODY_STALL_MS. */
  readonly bodyStallMs?: number
  /** Default: IDLE_MS. For node:http only; uWebSockets.js has it built in. */
  readonly idleMs?: number
  /**
   * Requests that wait for an answer; more are refused with 429, and their connections closed. Default: REQUESTS_MAX.
   * For node:http only; with uWebSockets.js each connection has one.
   */
  readonly requestsMax?: number
  /** Concurrent connections; more are answered with 503 (without TLS) and closed. Default: unlimited. */
  readonly connectionsMax?: number
  /** Default: an address may have any number. For node:http only; uWebSockets.js does not say whose was closed. */
  readonly connectionsByAddress?: AddressBound | null
  /** Counts what clients have not read yet. Default: one of its own. */
  readonly unread?: UnreadTotal
  /** Decides which answers without a body are the last on a connection of uWebSockets.js. Default: Math.random. */
  readonly random?: () => number
  /** Called for each request or connection that the engine itself refuses. */
  readonly onRefused?: (code: RefusalCode) => void
}

/** A whole answer, ready to be sent. */
export interface StatusAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Headers
}

export interface HttpEngine {
  readonly name: 'uws' | 'node'
  /** Package and version. */
  readonly release: string
  /** Throws if it cannot use the material: a kind of key that it does not know, or certificates of clients. */
  checkTls (tls: ServerTls): void
  /** Rejects if it cannot listen on the address. */
  listen (host: string, port: number, handler: HttpHandler, options?: ListenOptions): Promise<HttpServer>
}
