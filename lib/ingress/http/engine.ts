/**
 * The seam between OrbitStream and an HTTP server. Two engines stand behind it: uWebSockets.js (uws.ts) and
 * node:http (node.ts). The contract tests run on both.
 */

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

export type BodyFailure = 'body_too_large' | 'request_timeout' | 'length_required' | 'aborted'

/** One request's answer. Every method is safe after the client has gone. */
export interface HttpExchange {
  readonly aborted: boolean
  /** Reads the whole body, at most bytesMax. Call it while the handler runs, or never. `body` is valid only during onBody. */
  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void
  /** Sends the whole answer; only the first call counts. */
  reply (status: number, headers: ReadonlyArray<readonly [string, string]>, body: string | Buffer): void
  /** Starts an answer without end (Server-Sent Events). write() gives false when the client reads too slowly. */
  stream (status: number, headers: ReadonlyArray<readonly [string, string]>, onClose: () => void): HttpStream
}

export interface HttpStream {
  write (chunk: string): boolean
  end (): void
}

export type HttpHandler = (request: HttpRequest, exchange: HttpExchange) => void

export interface HttpServer {
  readonly port: number
  /** Stops listening; open connections end when their requests are answered, idle ones at once. Resolves when none is left, or after deadlineMs, when the rest is cut. */
  close (deadlineMs: number): Promise<void>
}

export interface HttpEngine {
  readonly name: 'uws' | 'node'
  listen (host: string, port: number, handler: HttpHandler): Promise<HttpServer>
}
