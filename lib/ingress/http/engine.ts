/**
 * The seam between OrbitStream and an HTTP server. Two engines stand behind it: uWebSockets.js (uws.ts) and
 * node:http (node.ts). The contract tests run on both.
 *
 * What both promise:
 * - An answer may be given before the body has arrived. The rest of that body is read and thrown away, for at most
 *   about ten seconds, so that a client on a kept connection can go on with its next request.
 * - A body that brings less than BODY_BYTES_PER_SECOND_MIN over BODY_STALL_MS ends in 'request_timeout', and the
 *   connection is closed after the answer.
 * - HEAD is answered with the head alone, whatever the handler replies.
 *
 * Where they differ: requests that a client pipelines are answered in order by node:http; uWebSockets.js closes a
 * connection on which a request arrives before the last one was answered. uWebSockets.js answers
 * `Expect: 100-continue` by itself, also where the request is then refused (node:http only when the body is read),
 * limits a request's head to 4 KB (node:http: 16 KB), and takes a client's FIN as the end of the connection.
 */

/** Time in which a body must show progress. Below the ten seconds after which uWebSockets.js cuts without an answer. */
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

/** 'too_busy': the bodies under way take all the memory that they may. */
export type BodyFailure = 'body_too_large' | 'request_timeout' | 'length_required' | 'too_busy' | 'aborted'

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

export interface HttpEngine {
  readonly name: 'uws' | 'node'
  /** Rejects when the address cannot be listened on. @param bodyStallMs see BODY_STALL_MS */
  listen (host: string, port: number, handler: HttpHandler, bodyStallMs?: number): Promise<HttpServer>
}
