/**
 * HttpEngine on node:http: supports all of RFC 9112, on every machine.
 *
 * Input that its parser refuses is reported as 'clientError', and answered after all earlier requests of its
 * connection, since a pipelining client expects answers in order.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { Server as NetServer } from 'node:net'
import { createSecureContext } from 'node:tls'
import { HEAD_BYTES_MAX, IDLE_MS, NOT_MODIFIED } from './engine.js'
import { BodyReader, StallTicks, refusedByHead } from './body.js'
import { NodeConnection } from './node-connection.js'
import { NodeRequest, refusedByFraming } from './node-request.js'
import { refusalOf, refusalText } from './refusals.js'
import { EngineServer, within } from './server.js'
import { NOT_LISTED } from '../../../support/roster.js'
import { TLS_VERSION_MIN, type TlsMaterial } from '../../../support/tls.js'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type {
  BodyFailure, Headers, HttpEngine, HttpExchange, HttpHandler, HttpServer, HttpStream, ListenOptions,
  RefusalCode, StreamEnding
} from './engine.js'
import type { BodyWatch, Watched } from './body.js'
import type { Reception } from './node-connection.js'
import type { OpenExchange } from './server.js'

const NO_BYTES = Buffer.alloc(0)

export const nodeEngine: HttpEngine = {
  name: 'node',
  release: `Node.js ${process.versions.node}`,
  checkTls: ({ material }) => { createSecureContext(secureOptions(material)) },
  listen
}

async function listen (
  host: string, port: number, handler: HttpHandler, options: ListenOptions = {}
): Promise<HttpServer> {
  const { idleMs = IDLE_MS, tls = null } = options
  const httpOptions = {
    headersTimeout: idleMs,
    keepAliveTimeout: idleMs,
    connectionsCheckingInterval: idleMs / 5,
    // BodyWatch limits bodies, by their progress rather than their total time.
    requestTimeout: 0,
    maxHeaderSize: HEAD_BYTES_MAX,
    insecureHTTPParser: false,
    // Done in refusedByFraming, because Node.js would answer without a body.
    requireHostHeader: false
  }
  const server = tls === null
    ? createServer(httpOptions)
    : createTlsServer({ ...httpOptions, ...secureOptions(tls.material), handshakeTimeout: idleMs })
  // A client that half-closes the connection after its request still waits for the answer.
  Object.assign(server, { httpAllowHalfOpen: true })
  const listening = new NodeServer(server, options)
  server.on('connection', (socket: Socket) => {
    if (!listening.admitsAddress(socket, tls === null)) return
    if (tls === null) listening.connect(socket)
    else listening.shakeHands(socket)
  })
  server.on('secureConnection', (socket: Socket) => {
    // As without TLS; but a half-closed handshake ends at once.
    socket.allowHalfOpen = true
    listening.connect(socket)
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const connection = listening.connections.get(socket)
    // A failed handshake.
    if (connection === undefined) socket.destroy()
    else connection.fail(error.code ?? '')
  })
  server.on('connect', (_req, socket: Socket) => {
    // Node.js has removed its own listener: without this one, a reset would end the process.
    socket.on('error', () => {})
    listening.connections.get(socket)?.fail('HPE_CONNECT')
  })
  server.setTimeout(idleMs, (socket) => listening.connections.get(socket)?.expire())
  const serve = (req: IncomingMessage, res: ServerResponse, expect: Expectation): void => {
    const connection = listening.connections.get(req.socket)
    // After a refused request, nobody knows where the next one begins.
    if (connection === undefined || connection.closing) return
    const request = new NodeRequest(req)
    const exchange = new NodeExchange(req, res, request, listening, connection, expect === 'continue')
    const refusal = expect === 'other' ? 'expectation_failed' : refusedByFraming(req)
    if (refusal === null) handler(request, exchange)
    else exchange.refuse(refusal)
  }
  server.on('request', (req, res) => serve(req, res, 'nothing'))
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => serve(req, res, 'continue'))
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) => serve(req, res, 'other'))
  // Last: connections may come before anybody is told that it listens.
  await listening.start(host, port)
  return listening
}

/** As node:tls takes it. */
export function secureOptions ({ cert, key, clientCa }: TlsMaterial) {
  const clients = clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  return { cert, key, minVersion: TLS_VERSION_MIN, ...clients } as const
}

/** The meaning of the Expect header. */
type Expectation = 'nothing' | 'continue' | 'other'

class NodeServer extends EngineServer<NodeExchange> {
  port = 0
  readonly connections = new Map<Socket, NodeConnection>()
  /** Connections of TLS before they become those above, by nameOf(). */
  private readonly handshakes = new Map<string, Socket>()
  private ended: Promise<void> | null = null

  constructor (private readonly server: Server | TlsServer, options: ListenOptions) {
    super(options)
  }

  async start (host: string, port: number): Promise<void> {
    const { server } = this
    const listening = once(server.listen(port, host), 'listening')
    await listening.catch((error: unknown) => {
      this.watch.close()
      throw error
    })
    this.port = (server.address() as AddressInfo).port
  }

  /** False: its address has too many connections; it is refused. @param speaksHttp before the handshake it does not */
  admitsAddress (socket: Socket, speaksHttp: boolean): boolean {
    const { byAddress } = this
    if (byAddress === null) return true
    const address = socket.remoteAddress ?? ''
    socket.once('close', () => byAddress.close(address))
    if (byAddress.open(address)) return true
    this.turnAway(socket, 'too_many_client_connections', speaksHttp)
    return false
  }

  private turnAway (socket: Socket, code: RefusalCode, speaksHttp: boolean): void {
    this.onRefused(code)
    // Nobody would understand an answer before the handshake.
    if (speaksHttp) socket.write(`HTTP/1.1 ${refusalText(code)}`)
    socket.destroy()
  }

  /** A connection was opened that has to become one of TLS. */
  shakeHands (socket: Socket): void {
    if (this.isFull) {
      this.turnAway(socket, 'too_many_connections', false)
      return
    }
    const name = nameOf(socket)
    this.handshakes.set(name, socket)
    socket.once('close', () => this.handshakes.delete(name))
  }

  /** A connection was opened, or has completed its handshake. */
  connect (socket: Socket): void {
    const isAdmitted = this.handshakes.delete(nameOf(socket))
    if (!isAdmitted && this.isFull) {
      this.turnAway(socket, 'too_many_connections', true)
      return
    }
    this.connections.set(socket, new NodeConnection(socket, this.onRefused))
    socket.once('close', () => this.connections.delete(socket))
  }

  async useTls (material: TlsMaterial): Promise<void> {
    if (!('setSecureContext' in this.server)) throw new TypeError('the server has no TLS')
    this.server.setSecureContext(secureOptions(material))
    await Promise.resolve()
  }

  private get isFull (): boolean {
    return this.connections.size + this.handshakes.size >= this.connectionsMax
  }

  protected stopListening (): void {
    // Of node:net: that of node:http also closes connections that are between two requests.
    this.ended ??= new Promise<void>((resolve) => NetServer.prototype.close.call(this.server, () => resolve()))
  }

  protected async emptied (deadlineMs: number): Promise<void> {
    await within(deadlineMs, (resolve) => { void this.ended?.then(resolve) })
  }

  protected async drain (deadlineMs: number): Promise<void> {
    this.closeIdle()
    const timer = setTimeout(() => this.cut(), deadlineMs)
    await this.ended
    clearTimeout(timer)
  }

  /** Node.js closes only connections that have had a request; this also closes those that never sent one. */
  private closeIdle (): void {
    this.server.closeIdleConnections()
    const busy = new Set(this.open.all().map(({ socket }) => socket))
    for (const [socket, connection] of this.connections) {
      if (!busy.has(socket) && connection.isUnused) socket.destroy()
    }
    for (const socket of this.handshakes.values()) socket.destroy()
  }

  private cut (): void {
    for (const exchange of this.open.all()) exchange.abort()
    for (const socket of this.connections.keys()) socket.destroy()
  }
}

class NodeExchange implements HttpExchange, HttpStream, Reception, OpenExchange {
  place = NOT_LISTED
  aborted = false
  private ended = false
  /** The answer closes the connection. */
  private hangUp: boolean
  private blocked = false
  private reader: BodyReader | null = null
  private onStreamClose: (() => void) | null = null
  private whenClosing: StreamEnding = 'end'
  /** Resolves writable(). */
  private wake: () => void = () => {}

  constructor (
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly request: NodeRequest,
    private readonly server: NodeServer,
    private readonly connection: NodeConnection,
    private readonly expectsContinue: boolean
  ) {
    // A client that waits for 100 Continue and gets an answer instead may or may not send the body. And HTTP/1.0 has no
    // chunks, so a proxy in between may see the end of the request elsewhere (RFC 9112, 6.1).
    this.hangUp = expectsContinue || (req.httpVersion === '1.0' && req.headers['transfer-encoding'] !== undefined)
    server.begin(this)
    connection.begin(this)
    res.once('close', () => {
      this.abort()
      connection.settle()
    })
  }

  get socket (): Socket {
    return this.req.socket
  }

  get isReading (): boolean {
    return !this.ended && this.reader !== null && !this.req.complete
  }

  get isAnsweredEarly (): boolean {
    return this.ended && !this.req.complete
  }

  /** Answers a request that must not reach the routes. */
  refuse (code: RefusalCode): void {
    this.hangUp = true
    this.connection.closing = true
    this.server.onRefused(code)
    const { status, headers, body } = refusalOf(code)
    this.reply(status, headers, body)
  }

  breakOff (): void {
    this.reader?.fail('malformed_request')
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
      this.hangUp = failure === 'request_timeout' || failure === 'malformed_request'
      onFailure(failure)
    })
    this.reader = reader
    // Holds back one chunk, so that a body in one chunk is passed on without a copy.
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
    const length = status === NOT_MODIFIED ? [] : ['content-length', String(Buffer.byteLength(body))]
    this.res.writeHead(status, this.head(headers, length))
    this.res.end(body)
    if (!this.req.complete && !this.hangUp) this.server.watch.add(new Drain(this.req, this.server.watch))
  }

  stream (status: number, headers: Headers, onClose: () => void, whenClosing: StreamEnding = 'end'): HttpStream {
    if (this.aborted || this.ended) return this
    this.onStreamClose = onClose
    this.whenClosing = whenClosing
    this.res.writeHead(status, this.head(headers, []))
    this.res.flushHeaders()
    this.res.on('drain', () => {
      this.blocked = false
      this.wake()
    })
    // A client of a stream must keep both sides open.
    const gone = (): void => this.closeStream()
    this.req.socket.once('end', gone)
    this.res.once('close', () => this.req.socket.off('end', gone))
    this.server.beginStream(this)
    return this
  }

  write (chunk: string | Buffer): boolean {
    if (this.aborted || this.ended || this.blocked) return false
    this.blocked = !this.res.write(chunk)
    return true
  }

  async writable (): Promise<void> {
    if (this.aborted || this.ended || !this.blocked) return
    await new Promise<void>((resolve) => { this.wake = resolve })
  }

  end (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.end()
  }

  cut (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.destroy()
  }

  closeStream (only = this.whenClosing): void {
    const onClose = this.onStreamClose
    if (onClose === null || only !== this.whenClosing) return
    this[this.whenClosing]()
    onClose()
  }

  /** The client has disconnected, or the server cuts the connection. Has no effect after an answer. */
  abort (): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    this.wake()
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
    this.wake()
    this.server.finish(this)
    this.reader?.drop()
  }
}

/** A socket and the one of TLS on top of it share the other end. */
function nameOf ({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/** The rest of a body that was answered early: Node.js reads it to its end; this cuts it off if that takes too long. */
class Drain implements Watched {
  place = NOT_LISTED
  private readonly ticks = new StallTicks()

  constructor (private readonly req: IncomingMessage, private readonly watch: BodyWatch) {}

  tick (): void {
    const isLate = this.ticks.next()
    if (!isLate && !this.req.complete && !this.req.socket.destroyed) return
    this.watch.delete(this)
    if (!this.req.complete) this.req.socket.destroy()
  }
}
