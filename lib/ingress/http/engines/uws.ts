/**
 * HttpEngine on uWebSockets.js; the only importer of that package, loaded when asked for, so that a machine without
 * a binary for it is an operating condition and not a crash.
 *
 * Its rules, all kept here: the request is dead once the handler has returned; a response that was not answered by
 * then needs onAborted; nothing of a response may be touched after an abort; a chunk's memory is taken back after
 * onData; answers are corked.
 *
 * Its parser goes on with what stands behind a body in the same read, and closes the connection, without an answer, when
 * that is the next request or nothing that it understands. So a body is handed on in the next turn of the loop alone:
 * what was not answered was not taken either. And where nothing behind the body counts (Connection: close), or what
 * the parser would take for the next request may be none (it does not know trailers), nothing more is read, and the
 * answer ends the connection.
 */
import { STATUS_CODES } from 'node:http'
import { BODY_STALL_MS, HEAD_BYTES_MAX } from './engine.js'
import { BodyReader, BodyWatch, StallTicks, refusedByHead } from './body.js'
import { REFUSALS, refusalText } from './refusals.js'
import { importUws } from './uws-package.js'
import { NOT_LISTED, Roster, type Listed } from '../../../support/roster.js'
import { UwsRequest } from './uws-request.js'
import type { BodyFailure, Headers, HttpEngine, HttpExchange, HttpHandler, HttpServer, HttpStream, ListenOptions } from './engine.js'
import type { RefusalCode } from './refusals.js'
import type { Watched } from './body.js'
import type * as Uws from 'uWebSockets.js'

type UwsModule = typeof Uws

/** Read by the binary when it loads, and only then. */
const HEAD_BYTES_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE'
/** What uWebSockets.js holds back of an answer until the parser is through with a read. */
const CORK_BYTES = 16 * 1024
const NO_BYTES = Buffer.alloc(0)

/** "202 Accepted" and so on, as uWebSockets.js wants them. */
const STATUS_LINES = Object.fromEntries(
  Object.entries(STATUS_CODES).map(([status, text]) => [status, `${status} ${String(text)}`]))

/** Refusals, too long to be held back. Without the line break at their end: uWebSockets.js writes one behind a status. */
const REFUSAL_STATUSES = Object.fromEntries(
  REFUSALS.map((code) => [code, refusalText(code, CORK_BYTES).slice(0, -2)])) as Record<RefusalCode, string>

/** @throws what the import throws when no binary loads on this machine */
export async function loadUws (): Promise<HttpEngine> {
  process.env[HEAD_BYTES_VARIABLE] ??= String(HEAD_BYTES_MAX)
  const { uws, release } = await importUws()
  return { name: 'uws', release, listen: async (host, port, handler, options = {}) => await listen(uws, host, port, handler, options) }
}

async function listen (uws: UwsModule, host: string, port: number, handler: HttpHandler, options: ListenOptions): Promise<HttpServer> {
  const app = uws.App()
  const server = new UwsServer(uws, app, options)
  let request: UwsRequest
  const note = (name: string, value: string): void => request.note(name, value)
  app.filter((res, change) => server.count(res, change))
  app.any('/*', (res, req) => {
    request = new UwsRequest(req)
    req.forEach(note)
    if (request.fault !== null) {
      server.refuse(res, request.fault)
      return
    }
    const exchange = new UwsExchange(res, request, server)
    handler(request, exchange)
    exchange.afterHandler()
  })
  const socket = await new Promise<Uws.us_listen_socket | false>((resolve) => app.listen(host, port, resolve))
  if (socket === false) {
    server.abandon()
    throw new Error(`cannot listen on ${host}:${port}: the address is in use or not of this machine`)
  }
  server.start(socket)
  return server
}

class UwsServer implements HttpServer {
  port = 0
  /** From the start of close() on every answer closes its connection. */
  stopping = false
  readonly watch: BodyWatch
  private readonly onRefused: (code: RefusalCode) => void
  private readonly connectionsMax: number
  private connections = 0
  private readonly open = new Roster<UwsExchange>()
  /** Bodies that are there in whole and wait for the next turn of the loop. */
  private complete: BodyReader[] = []
  private socket: Uws.us_listen_socket | null = null
  private closed: Promise<void> | null = null
  private onIdle: (() => void) | null = null

  constructor (private readonly uws: UwsModule, private readonly app: Uws.TemplatedApp, options: ListenOptions) {
    this.watch = new BodyWatch(options.bodyStallMs ?? BODY_STALL_MS)
    this.onRefused = options.onRefused ?? (() => {})
    this.connectionsMax = options.connectionsMax ?? Infinity
  }

  start (socket: Uws.us_listen_socket): void {
    this.socket = socket
    this.port = this.uws.us_socket_local_port(socket)
  }

  abandon (): void {
    this.watch.close()
    this.app.close()
  }

  /** @param change 1: a connection was opened; -1: it was closed */
  count (res: Uws.HttpResponse, change: number): void {
    this.connections += change
    if (change > 0 && this.connections > this.connectionsMax) this.refuse(res, 'too_many_connections')
  }

  /**
   * Answers and closes the connection before the parser looks at anything behind the head. An answer by the usual way
   * is held back, and what stands behind it is served first; this one is written as a status, which goes out at once
   * for its length, and the response is never ended.
   */
  refuse (res: Uws.HttpResponse, code: RefusalCode): void {
    this.onRefused(code)
    res.writeStatus(REFUSAL_STATUSES[code])
    res.close()
  }

  begin (exchange: UwsExchange): void {
    this.open.add(exchange)
  }

  finish (exchange: UwsExchange): void {
    this.open.delete(exchange)
    if (this.open.size === 0) this.onIdle?.()
  }

  /** Hands a body on in the next turn of the loop, unless its connection has gone until then. */
  handOn (reader: BodyReader): void {
    if (this.complete.length === 0) setImmediate(() => this.handOnAll())
    this.complete.push(reader)
  }

  private handOnAll (): void {
    const { complete } = this
    this.complete = []
    for (const reader of complete) reader.take(NO_BYTES, true)
  }

  async close (deadlineMs: number): Promise<void> {
    this.closed ??= this.stop(deadlineMs)
    await this.closed
  }

  private async stop (deadlineMs: number): Promise<void> {
    this.stopping = true
    if (this.socket !== null) this.uws.us_listen_socket_close(this.socket)
    for (const exchange of this.open.all()) exchange.closeStream()
    if (this.open.size > 0) await this.idle(deadlineMs)
    // The last answer may still be corked: it goes out when this turn of the loop ends.
    await new Promise((resolve) => setImmediate(resolve))
    this.app.close()
    this.watch.close()
  }

  private async idle (deadlineMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadlineMs)
      this.onIdle = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** An answer that waits for the chunks of its request to end. */
class HeldAnswer implements Watched {
  place = NOT_LISTED
  private readonly ticks = new StallTicks()

  /** @param onStalled the chunks take too long */
  constructor (readonly send: () => void, private readonly onStalled: () => void) {}

  tick (): void {
    if (this.ticks.next()) this.onStalled()
  }
}

class UwsExchange implements HttpExchange, HttpStream, Listed {
  place = NOT_LISTED
  aborted = false
  private ended = false
  /** The connection cannot be used again after the answer. */
  private hangUp = false
  private blocked = false
  /** Chunks still arrive. */
  private chunksArrive: boolean
  /** An answer that waits until they have: it closes the connection, on which the client would still be sending. */
  private held: HeldAnswer | null = null
  private reader: BodyReader | null = null
  private onStreamClose: (() => void) | null = null

  constructor (
    private readonly res: Uws.HttpResponse,
    private readonly request: UwsRequest,
    private readonly server: UwsServer
  ) {
    this.chunksArrive = request.isChunked
  }

  /** The handler has returned: what is not answered yet needs an abort handler before control goes back. */
  afterHandler (): void {
    if (this.ended) return
    this.server.begin(this)
    this.res.onAborted(() => this.abort())
    if (this.reader !== null || this.onStreamClose !== null) return
    if (this.chunksArrive) this.res.onData((_chunk, last) => this.arrived(last))
    else if (this.request.isLast) this.res.pause()
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    const refused = refusedByHead(this.request, bytesMax)
    if (refused !== null) {
      onFailure(refused)
      return
    }
    const reader = new BodyReader(this.server.watch, bytesMax, onBody, (failure) => {
      this.hangUp = failure === 'request_timeout'
      onFailure(failure)
    })
    this.reader = reader
    this.res.onData((chunk, last) => {
      if (chunk.byteLength > 0) reader.take(Buffer.from(chunk), false)
      if (last) this.server.handOn(reader)
      this.arrived(last)
    })
  }

  /** The end of the body is there; what is behind it may be left unread until the answer, which then is the last one. */
  private arrived (last: boolean): void {
    if (!last || this.ended || this.aborted) return
    this.chunksArrive = false
    if (this.request.isChunked || this.request.isLast) this.res.pause()
    // Not at once: the parser would go on behind it.
    if (this.held !== null) setImmediate(() => this.release())
  }

  reply (status: number, headers: Headers, body: string | Buffer): void {
    if (this.aborted || this.ended || this.held !== null) return
    if (this.chunksArrive && !this.hangUp) {
      this.held = new HeldAnswer(() => this.send(status, headers, body), () => this.release())
      this.server.watch.add(this.held)
    } else {
      this.send(status, headers, body)
    }
  }

  private release (): void {
    if (this.held === null) return
    this.server.watch.delete(this.held)
    if (!this.aborted && !this.ended) this.held.send()
  }

  private send (status: number, headers: Headers, body: string | Buffer): void {
    this.res.cork(() => {
      this.writeHead(status, headers)
      const close = this.hangUp || this.request.isChunked || this.server.stopping
      if (this.request.method === 'HEAD') this.endHead(Buffer.byteLength(body), close)
      else this.res.end(body, close)
    })
    this.finish()
  }

  stream (status: number, headers: Headers, onClose: () => void): HttpStream {
    if (this.aborted || this.ended) return this
    this.onStreamClose = onClose
    this.res.cork(() => this.writeHead(status, headers))
    this.res.onWritable(() => {
      this.blocked = false
      return true
    })
    if (this.server.stopping) this.closeStream()
    return this
  }

  write (chunk: string): boolean {
    if (this.aborted || this.ended || this.blocked) return false
    this.res.cork(() => { this.blocked = !this.res.write(chunk) })
    return true
  }

  end (): void {
    if (this.aborted || this.ended) return
    const { res } = this
    this.finish()
    // Asked to close as well, uWebSockets.js would write a header into the last chunk.
    if (this.request.isChunked) res.close()
    else res.cork(() => res.end())
  }

  /** Ends the stream, if this is one, because the server closes. */
  closeStream (): void {
    const onClose = this.onStreamClose
    if (onClose === null) return
    this.end()
    onClose()
  }

  private writeHead (status: number, headers: Headers): void {
    this.res.writeStatus(STATUS_LINES[status] ?? String(status))
    for (const header of headers) this.res.writeHeader(header[0], header[1])
  }

  /** Without arguments: given a length, uWebSockets.js never counts the response as ended and aborts it at the next request. */
  private endHead (length: number, close: boolean): void {
    this.res.writeHeader('content-length', String(length))
    if (close) this.res.writeHeader('connection', 'close')
    this.res.endWithoutBody()
  }

  private finish (): void {
    this.ended = true
    this.onStreamClose = null
    this.reader?.drop()
    this.server.finish(this)
  }

  private abort (): void {
    this.aborted = true
    if (this.held !== null) this.server.watch.delete(this.held)
    this.server.finish(this)
    this.reader?.fail('aborted')
    const onClose = this.onStreamClose
    this.onStreamClose = null
    onClose?.()
  }
}
