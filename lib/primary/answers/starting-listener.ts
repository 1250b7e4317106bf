/**
 * Answers HTTP clients while the server starts, which takes long if it has to wait for its database: 503, with the
 * reason on /health for clients that may read it. Releases the port before the workers listen on it.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { LIVE_BODY, readyBody, withoutDetails } from '../../ingress/http/api/probes.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { TokenCheck } from '../../ingress/http/api/tokens.js'
import { errorAnswer } from '../../ingress/http/engines/answers.js'
import { IDLE_MS } from '../../ingress/http/engines/engine.js'
import { secureOptions } from '../../ingress/http/engines/node/node.js'
import type { TlsMaterial } from '../../support/tls.js'

/** Requests are few and short. */
const CONNECTIONS_MAX = 100
const NOT_READY = errorAnswer('not_ready')
const LIVE: StatusAnswer = { status: 200, contentType: 'application/json', body: LIVE_BODY }
const READY: StatusAnswer = { ...NOT_READY, body: readyBody('not_ready') }

/** @param path of a GET or HEAD; '' for other methods */
function answerTo (path: string, health: () => StatusAnswer): StatusAnswer {
  switch (path) {
    case '/live': return LIVE
    case '/ready': return READY
    case '/health': return health()
    default: return NOT_READY
  }
}

export class StartingListener {
  /** Includes those whose TLS handshake is incomplete, which closeAllConnections() does not know. */
  private readonly sockets = new Set<Socket>()

  private constructor (private readonly server: Server) {
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket)
      socket.once('close', () => this.sockets.delete(socket))
    })
  }

  /**
   * @param tls null: plain HTTP
   * @param idleMs for a head; idle connections must not keep out probes, which would have the server restarted
   */
  static async open (
    host: string, port: number, health: () => StatusAnswer, tokens: TokenCheck, tls: TlsMaterial | null,
    idleMs = IDLE_MS
  ): Promise<StartingListener> {
    const answerRequest: RequestListener = (request, response) => {
      const header = (name: string): string => String(request.headers[name] ?? '')
      const isReader = (): boolean => typeof tokens.check({ header }, 'read') !== 'string'
      const path = ['GET', 'HEAD'].includes(request.method ?? '') ? request.url?.split('?', 1)[0] : ''
      const answer = answerTo(path ?? '', () => isReader() ? health() : withoutDetails(health()))
      const retry = answer.status === 503 ? { 'retry-after': '1' } : {}
      response.writeHead(answer.status, { 'content-type': answer.contentType, connection: 'close', ...retry })
      response.end(answer.body)
    }
    const timeouts = { headersTimeout: idleMs, requestTimeout: idleMs, connectionsCheckingInterval: idleMs / 5 }
    const server = tls === null
      ? createServer(timeouts, answerRequest)
      : createTlsServer({ ...timeouts, ...secureOptions(tls), handshakeTimeout: idleMs }, answerRequest)
    server.maxConnections = CONNECTIONS_MAX
    const listener = new StartingListener(server)
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return listener
  }

  /** Resolves when the port is free; further calls do nothing. */
  async close (): Promise<void> {
    if (!this.server.listening) return
    const closed = once(this.server, 'close')
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
    await closed
  }
}
