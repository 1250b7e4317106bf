/**
 * The seam between OrbitStream and an HTTP server. Two engines of equal rank stand behind it: uWebSockets.js (uws.ts)
 * and node:http (node.ts). One conformance suite runs on both.
 *
 * What both promise:
 * - A head that leaves in doubt where its request ends (RFC 9112, 6.3: two lengths, a length beside chunks, another
 *   transfer coding; and two hosts) is refused, and its connection closed, before anything behind it is looked at.
 * - An answer may be given before the body has arrived. The rest of that body is read and thrown away, for at most
 *   about ten seconds, so that a client on a kept connection can go on with its next request.
 * - A head that is not there in whole ten seconds after the connection or the last answer ends its connection. A body
 *   that brings less than BODY_BYTES_PER_SECOND_MIN over BODY_STALL_MS ends in 'request_timeout', and the connection is
 *   closed after the answer. An answer that its client does not read ends the connection as well.
 * - HEAD is answered with the head alone, whatever the handler replies.
 *
 * node:http serves all of RFC 9112. What the binary of uWebSockets.js that has loaded cannot do is found by
 * self-check/check.ts. Beside that, uWebSockets.js closes a connection without a word where a head or the next request
 * is too slow, answers `Expect: 100-continue` by itself, also where the request is then refused (node:http only when the
 * body is read), and closes the connection after a chunked body.
 */
import type { RefusalCode } from './refusals.js'

/** Request line and headers together, on both engines: what Node.js allows by default, and four times what uWebSockets.js does. */
export const HEAD_BYTES_MAX = 16 * 1024
/** For the head of a request, for the next request on a connection, and for a client to read on: what uWebSockets.js has. */
export const IDLE_MS = 10_000
/** Time in which a body must show progress. Below IDLE_MS, after which uWebSockets.js cuts without an answer. */
export const BODY_STALL_MS = 8_000
/** The rate below which a body counts as stalled. */
export const BODY_BYTES_PER_SECOND_MIN = 16 * 1024

export type Headers = ReadonlyArray<readonly [name: string, value: string]>

/** The head of a request. Valid only until the handler returns: copy what is needed later. */
export interface HttpRequest {
  /** Upper case. */
  readonly method: string
  /** Path without the query, as sent. */
  readonly path: string
  /** Query without '?', '' if there is none. */
  readonly query: string
  /** @param name lower case. '' if absent. */
  header (name: string): string
}

/** 'too_busy': the bodies under way take all the memory that they may. 'malformed_request': its chunks are none. */
export type BodyFailure = 'body_too_large' | 'request_timeout' | 'length_required' | 'too_busy' | 'malformed_request' | 'aborted'

/** One request's answer. Every method is safe after the client has gone. */
export interface HttpExchange {
  /** The client went before an answer was given. */
  readonly aborted: boolean
  /** Reads the whole body, at most bytesMax. Call it while the handler runs, once or never. `body` is valid only during onBody. */
  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void
  /** Sends the whole answer; only the first call counts. */
  reply (status: number, headers: Headers, body: string | Buffer): void
  /**
   * Starts an answer without end (Server-Sent Events). The head may travel with the first chunk.
   * onClose is called once: when the client has gone or the server closes, not after end().
   */
  stream (status: number, headers: Headers, onClose: () => void): HttpStream
}

export interface HttpStream {
  /** False: the client reads too slowly or has gone, and the chunk was not taken. */
  write (chunk: string): boolean
  end (): void
}

export type HttpHandler = (request: HttpRequest, exchange: HttpExchange) => void

export interface HttpServer {
  readonly port: number
  /**
   * Stops listening; what is under way is finished and each answer closes its connection; streams end at once.
   * Resolves when no connection is left, or after deadlineMs, when the rest is cut. Calls after the first share its promise.
   */
  close (deadlineMs: number): Promise<void>
}

export interface ListenOptions {
  /** See BODY_STALL_MS, which is the default. */
  readonly bodyStallMs?: number
  /** See IDLE_MS, which is the default. node:http alone: it is built into uWebSockets.js. */
  readonly idleMs?: number
  /** Connections at once; those beyond are answered with 503 and closed. Without it there is no bound. */
  readonly connectionsMax?: number
  /** Called for each request or connection that the engine refuses by itself. */
  readonly onRefused?: (code: RefusalCode) => void
}

export interface HttpEngine {
  readonly name: 'uws' | 'node'
  /** Package and version. */
  readonly release: string
  /** Rejects when the address cannot be listened on. */
  listen (host: string, port: number, handler: HttpHandler, options?: ListenOptions): Promise<HttpServer>
}
