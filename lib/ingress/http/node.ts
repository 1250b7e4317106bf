/**
 * HttpEngine on node:http: for machines on which no binary of uWebSockets.js loads. Same promises, fewer requests a
 * second.
 */
import { createServer } from 'node:http'
import { BODY_STALL_MS } from './engine.js'
import { BodyReader, StallTicks, BodyWatch, refusedByHead } from './body.js'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { BodyFailure, Headers, HttpEngine, HttpExchange, HttpHandler, HttpRequest, HttpServer, HttpStream } from './engine.js'
import type { Watched } from './body.js'

/** As long as uWebSockets.js waits for the head of a request and for the next request on a connection. */
const IDLE_MS = 10_000
const NO_BYTES = Buffer.alloc(0)

export const nodeEngine: HttpEngine = { name: 'node', listen }

async function listen (host: string, port: number, handler: HttpHandler, bodyStallMs = BODY_STALL_MS): Promise<HttpServer> {
  const server = createServer({
    headersTimeout: IDLE_MS,
    keepAliveTimeout: IDLE_MS,
    connectionsCheckingInterval: IDLE_MS / 5,
    // Bodies have their own watch, which goes by progress and not by total time.
    requestTimeout: 0
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  const listening = new NodeServer(server, new BodyWatch(bodyStallMs))
  server.on('connection', (socket) => listening.connect(socket))
  const serve = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean): void => {
    const request = new NodeRequest(req)
    handler(request, new NodeExchange(req, res, request, listening, expectsContinue))
  }
  server.on('request', (req, res) => serve(req, res, false))
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => serve(req, res, true))
  return listening
}

class NodeServer implements HttpServer {
  readonly port: number
  /** From the start of close() on every answer closes its connection. */
  stopping = false
  /** Requests that are not answered yet, and their connections. */
  private readonly open = new Map<NodeExchange, Socket>()
  private readonly sockets = new Set<Socket>()
  private closed: Promise<void> | null = null

  constructor (private readonly server: Server, readonly watch: BodyWatch) {
    this.port = (server.address() as AddressInfo).port
  }

  connect (socket: Socket): void {
    this.sockets.add(socket)
    socket.once('close', () => this.sockets.delete(socket))
  }

  begin (exchange: NodeExchange, socket: Socket): void {
    this.open.set(exchange, socket)
  }

  finish (exchange: NodeExchange): void {
    this.open.delete(exchange)
  }

  async close (deadlineMs: number): Promise<void> {
    this.closed ??= this.stop(deadlineMs)
    await this.closed
  }

  private async stop (deadlineMs: number): Promise<void> {
    this.stopping = true
    const ended = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const exchange of this.open.keys()) exchange.closeStream()
    this.closeIdle()
    const timer = setTimeout(() => this.cut(), deadlineMs)
    await ended
    clearTimeout(timer)
    this.watch.close()
  }

  /** Node.js closes those that have had a request; this one also those that never sent any. */
  private closeIdle (): void {
    this.server.closeIdleConnections()
    const busy = new Set(this.open.values())
    for (const socket of this.sockets) {
      if (!busy.has(socket) && socket.bytesRead === 0) socket.destroy()
    }
  }

  private cut (): void {
    for (const exchange of this.open.keys()) exchange.abort()
    for (const socket of this.sockets) socket.destroy()
  }
}

class NodeRequest implements HttpRequest {
  readonly path: string
  readonly query: string

  constructor (private readonly req: IncomingMessage) {
    const url = req.url ?? ''
    const mark = url.indexOf('?')
    this.path = mark < 0 ? url : url.slice(0, mark)
    this.query = mark < 0 ? '' : url.slice(mark + 1)
  }

  get method (): string {
    return this.req.method ?? ''
  }

  header (name: string): string {
    const value = this.req.headers[name]
    return typeof value === 'string' ? value : value?.join(', ') ?? ''
  }
}

class NodeExchange implements HttpExchange, HttpStream {
  aborted = false
  private ended = false
  /** The connection cannot be used again after the answer. */
  private hangUp: boolean
  private blocked = false
  private reader: BodyReader | null = null
  private onStreamClose: (() => void) | null = null

  constructor (
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly request: NodeRequest,
    private readonly server: NodeServer,
    private readonly expectsContinue: boolean
  ) {
    // A client that waits for 100 Continue and gets an answer instead may or may not send the body.
    this.hangUp = expectsContinue
    server.begin(this, req.socket)
    res.once('close', () => this.abort())
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    const refused = refusedByHead(this.request, bytesMax)
    if (refused !== null) {
      onFailure(refused)
      return
    }
    if (this.expectsContinue) {
      this.res.writeContinue()
      this.hangUp = false
    }
    const reader = new BodyReader(this.server.watch, bytesMax, onBody, (failure) => {
      this.hangUp = failure === 'request_timeout'
      onFailure(failure)
    })
    this.reader = reader
    // One chunk is held back, so that a body of one chunk is handed on without a copy.
    let held: Buffer | null = null
    this.req.on('data', (chunk: Buffer) => {
      if (held !== null) reader.take(held, false)
      held = chunk
      reader.check(chunk)
    })
    this.req.once('end', () => reader.take(held ?? NO_BYTES, true))
  }

  reply (status: number, headers: Headers, body: string | Buffer): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.writeHead(status, this.head(headers, ['content-length', String(Buffer.byteLength(body))]))
    this.res.end(body)
    if (!this.req.complete && !this.hangUp) this.server.watch.add(new Drain(this.req, this.server.watch))
  }

  stream (status: number, headers: Headers, onClose: () => void): HttpStream {
    if (this.aborted || this.ended) return this
    this.onStreamClose = onClose
    this.res.writeHead(status, this.head(headers, []))
    this.res.flushHeaders()
    this.res.on('drain', () => { this.blocked = false })
    if (this.server.stopping) this.closeStream()
    return this
  }

  write (chunk: string): boolean {
    if (this.aborted || this.ended || this.blocked) return false
    this.blocked = !this.res.write(chunk)
    return true
  }

  end (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.end()
  }

  /** Ends the stream, if this is one, because the server closes. */
  closeStream (): void {
    const onClose = this.onStreamClose
    if (onClose === null) return
    this.end()
    onClose()
  }

  /** The response is over without an answer: the client has gone, or the server cuts it. Does nothing after an answer. */
  abort (): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    this.server.finish(this)
    this.reader?.fail('aborted')
    const onClose = this.onStreamClose
    this.onStreamClose = null
    onClose?.()
  }

  /** Node.js takes headers as one flat list of names and values. */
  private head (headers: Headers, more: string[]): string[] {
    const flat = headers.flat()
    if (this.hangUp || this.server.stopping) flat.push('connection', 'close')
    flat.push(...more)
    return flat
  }

  private finish (): void {
    this.ended = true
    this.onStreamClose = null
    this.server.finish(this)
    this.reader?.drop()
  }
}

/** The rest of a body that was answered early: Node.js reads it to its end; this ends it when that takes too long. */
class Drain implements Watched {
  private readonly ticks = new StallTicks()

  constructor (private readonly req: IncomingMessage, private readonly watch: BodyWatch) {}

  tick (): void {
    const late = this.ticks.next()
    if (!late && !this.req.complete && !this.req.socket.destroyed) return
    this.watch.delete(this)
    if (!this.req.complete) this.req.socket.destroy()
  }
}
