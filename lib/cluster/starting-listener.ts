/**
 * What HTTP clients are told while the server starts, which may take long where it waits for its database: 503, and by /health
 * why. It gives the port free before the workers listen on it.
 */
import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import { ERRORS } from '../errors.js'
import type { StatusAnswer } from '../ingress/http/status-port.js'

/** Nobody has to ask often, or for long. */
const CONNECTIONS_MAX = 100
const NOT_READY: StatusAnswer = {
  status: ERRORS.not_ready.status,
  contentType: 'application/json',
  body: JSON.stringify({ error: { code: 'not_ready', message: ERRORS.not_ready.message } }) + '\n'
}

export class StartingListener {
  private constructor (private readonly server: Server) {}

  static async open (host: string, port: number, health: () => StatusAnswer): Promise<StartingListener> {
    const server = createServer((request, response) => {
      const asked = request.url?.split('?', 1)[0] === '/health' && request.method === 'GET'
      const { status, contentType, body } = asked ? health() : NOT_READY
      response.writeHead(status, { 'content-type': contentType, 'retry-after': '1', connection: 'close' }).end(body)
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
