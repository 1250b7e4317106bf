/**
 * HttpEngine on uWebSockets.js; the only importer of that package, loaded when asked for, so that a machine without
 * a binary for it is an operating condition and not a crash.
 *
 * Its rules, all kept here: the request is dead once the handler has returned; a response that was not answered by
 * then needs onAborted; nothing of a response may be touched after an abort; a chunk's memory is taken back after
 * onData; answers are corked.
 */
import { STATUS_CODES } from 'node:http'
import { BODY_STALL_MS } from './engine.js'
import { BodyReader, BodyWatch, refusedByHead } from './body.js'
import type { BodyFailure, Headers, HttpEngine, HttpExchange, HttpHandler, HttpRequest, HttpServer, HttpStream } from './engine.js'
import type * as Uws from 'uWebSockets.js'

type UwsModule = typeof Uws

/** "202 Accepted" and so on, as uWebSockets.js wants them. */
const STATUS_LINES = Object.fromEntries(
  Object.entries(STATUS_CODES).map(([status, text]) => [status, `${status} ${String(text)}`]))

/** @throws what the import throws when no binary loads on this machine */
export async function loadUws (): Promise<HttpEngine> {
  const uws = await import('uWebSockets.js')
  return {
    name: 'uws',
    listen: async (host, port, handler, bodyStallMs = BODY_STALL_MS) => await listen(uws, host, port, handler, bodyStallMs)
  }
}

async function listen (uws: UwsModule, host: string, port: number, handler: HttpHandler, bodyStallMs: number): Promise<HttpServer> {
  const app = uws.App()
  const server = new UwsServer(uws, app, new BodyWatch(bodyStallMs))
  app.any('/*', (res, req) => {
    const request = new UwsRequest(req)
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
  private readonly open = new Set<UwsExchange>()
  private socket: Uws.us_listen_socket | null = null
  private closed: Promise<void> | null = null
  private onIdle: (() => void) | null = null

  constructor (
    private readonly uws: UwsModule,
    private readonly app: Uws.TemplatedApp,
    readonly watch: BodyWatch
  ) {}

  start (socket: Uws.us_listen_socket): void {
    this.socket = socket
    this.port = this.uws.us_socket_local_port(socket)
  }

  abandon (): void {
    this.watch.close()
    this.app.close()
  }

  begin (exchange: UwsExchange): void {
    this.open.add(exchange)
  }

  finish (exchange: UwsExchange): void {
    this.open.delete(exchange)
    if (this.open.size === 0) this.onIdle?.()
  }

  async close (deadlineMs: number): Promise<void> {
    this.closed ??= this.stop(deadlineMs)
    await this.closed
  }

  private async stop (deadlineMs: number): Promise<void> {
    this.stopping = true
    if (this.socket !== null) this.uws.us_listen_socket_close(this.socket)
    for (const exchange of this.open) exchange.closeStream()
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

class UwsRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly query: string

  constructor (private readonly req: Uws.HttpRequest) {
    this.method = req.getCaseSensitiveMethod()
    this.path = req.getUrl()
    // Typed as a string, but undefined without '?'.
    this.query = req.getQuery() || ''
  }

  header (name: string): string {
    return this.req.getHeader(name)
  }
}

class UwsExchange implements HttpExchange, HttpStream {
  aborted = false
  private ended = false
  /** The connection cannot be used again after the answer. */
  private hangUp = false
  private blocked = false
  private reader: BodyReader | null = null
  private onStreamClose: (() => void) | null = null

  constructor (
    private readonly res: Uws.HttpResponse,
    private readonly request: UwsRequest,
    private readonly server: UwsServer
  ) {}

  /** The handler has returned: what is not answered yet needs an abort handler before control goes back. */
  afterHandler (): void {
    if (this.ended) return
    this.server.begin(this)
    this.res.onAborted(() => this.abort())
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
    this.res.onData((chunk, last) => reader.take(Buffer.from(chunk), last))
  }

  reply (status: number, headers: Headers, body: string | Buffer): void {
    if (this.aborted || this.ended) return
    this.res.cork(() => {
      this.writeHead(status, headers)
      const close = this.hangUp || this.server.stopping
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
    this.res.cork(() => this.res.end(undefined, this.server.stopping))
    this.finish()
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
    this.server.finish(this)
    this.reader?.fail('aborted')
    const onClose = this.onStreamClose
    this.onStreamClose = null
    onClose?.()
  }
}
