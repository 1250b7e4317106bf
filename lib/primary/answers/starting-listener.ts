/**
 * What HTTP clients are told while the server starts, which may take long where it waits for its database: 503, and by /health
 * why, if they may read that. It gives the port free before the workers listen on it.
 */
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { ERRORS } from '../../support/errors.js'
import { LIVE_BODY, readyBody, withoutDetails } from '../../ingress/http/api/probes.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { TokenCheck } from '../../ingress/http/api/tokens.js'

/** Nobody has to ask often, or for long. */
const CONNECTIONS_MAX = 100
const NOT_READY: StatusAnswer = {
  status: ERRORS.not_ready.status,
  contentType: 'application/json',
  body: JSON.stringify({ error: { code: 'not_ready', message: ERRORS.not_ready.message } }) + '\n'
}

const LIVE: StatusAnswer = { status: 200, contentType: 'application/json', body: LIVE_BODY }
const READY: StatusAnswer = { ...NOT_READY, body: readyBody('not_ready') }

/** @param path of a GET; '' of what is none */
function answerTo (path: string, health: () => StatusAnswer): StatusAnswer {
  switch (path) {
    case '/live': return LIVE
    case '/ready': return READY
    case '/health': return health()
    default: return NOT_READY
  }
}

export class StartingListener {
  private constructor (private readonly server: Server) {}

  static async open (host: string, port: number, health: () => StatusAnswer, tokens: TokenCheck): Promise<StartingListener> {
    const server = createServer((request, response) => {
      const isReader = (): boolean => typeof tokens.check({ header: (name) => String(request.headers[name] ?? '') }, 'read') !== 'string'
      const path = request.method === 'GET' ? request.url?.split('?', 1)[0] : ''
      const { status, contentType, body } = answerTo(path ?? '', () => isReader() ? health() : withoutDetails(health()))
      response.writeHead(status, { 'content-type': contentType, connection: 'close', ...status === 503 ? { 'retry-after': '1' } : {} }).end(body)
    })
    server.maxConnections = CONNECTIONS_MAX
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return new StartingListener(server)
  }

  /** The port is free when it resolves; further calls do nothing. */
  async close (): Promise<void> {
    if (!this.server.listening) return
    const closed = once(this.server, 'close')
    this.server.close()
    this.server.closeAllConnections()
    await closed
  }
}
