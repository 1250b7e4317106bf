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
import { HEAD_BYTES_MAX, IDLE_MS } from '../engine.js'
import { NodeConnection } from './node-connection.js'
import { NodeExchange } from './node-exchange.js'
import { NodeRequest, refusedByFraming } from './node-request.js'
import { refusalText } from '../refusals.js'
import { EngineServer, within } from '../server.js'
import { TLS_VERSION_MIN, type TlsMaterial } from '../../../../support/tls.js'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { HttpEngine, HttpHandler, HttpServer, ListenOptions, RefusalCode } from '../engine.js'

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
    // Often, so that few slow heads are refused in one turn of the event loop. With 10,000 a check takes a millisecond.
    connectionsCheckingInterval: idleMs / 100,
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
    if (connection === undefined) return
    // After a refused request, nobody knows where the next one begins.
    if (connection.closing) {
      connection.ignore()
      return
    }
    const request = new NodeRequest(req)
    const exchange = new NodeExchange(req, res, request, listening, connection, expect === 'continue')
    const unsound = expect === 'other' ? 'expectation_failed' : refusedByFraming(req)
    const refusal = unsound ?? (listening.isFlooded ? 'too_busy' : null)
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

/** Twice the connections that there can be: only clients that pipeline come near. Each request takes some kilobytes. */
export const REQUESTS_MAX = 32_768

/** The meaning of the Expect header. */
type Expectation = 'nothing' | 'continue' | 'other'

class NodeServer extends EngineServer<NodeExchange> {
  port = 0
  readonly connections = new Map<Socket, NodeConnection>()
  /** Connections of TLS before they become those above, by nameOf(). */
  private readonly handshakes = new Map<string, Socket>()
  private ended: Promise<void> | null = null
  private readonly requestsMax: number

  constructor (private readonly server: Server | TlsServer, options: ListenOptions) {
    super(options)
    this.requestsMax = options.requestsMax ?? REQUESTS_MAX
  }

  /** Too many requests wait for an answer. */
  get isFlooded (): boolean {
    return this.open.size > this.requestsMax
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
    const connection = new NodeConnection(socket, this.onRefused, this.lingering)
    this.connections.set(socket, connection)
    socket.once('close', () => {
      this.connections.delete(socket)
      connection.closed()
    })
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

/** A socket and the one of TLS on top of it share the other end. */
function nameOf ({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}
