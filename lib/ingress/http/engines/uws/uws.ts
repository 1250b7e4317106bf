/**
 * HttpEngine on uWebSockets.js. Loads the package on demand, so that a machine without a binary for it is an operating
 * condition and not a crash.
 *
 * Its rules, all observed here: a request is invalid once the handler has returned; a response not answered by then
 * needs onAborted; a response must not be touched after an abort; the memory of a chunk is reused after onData; answers
 * are corked.
 *
 * After a body, its parser continues with the rest of the same read, and closes the connection without an answer if
 * that is the next request or invalid. So bodies are passed on only in the next turn of the event loop: what cannot be
 * answered is not accepted either. And if nothing after the body counts (Connection: close), or what the parser takes
 * for the next request may not be one (it does not support trailers), reading stops, and the answer closes the
 * connection.
 */
import { isDeepStrictEqual } from 'node:util'
import { HEAD_BYTES_MAX, REFUSALS } from '../engine.js'
import { refusalText } from '../refusals.js'
import { EngineServer, within } from '../server.js'
import { importUws } from './uws-package.js'
import { withUnnamedFiles } from '../../../../host/unnamed-files.js'
import { UwsExchange } from './uws-exchange.js'
import { UwsRequest } from './uws-request.js'
import type { HttpEngine, HttpHandler, ListenOptions, RefusalCode, ServerTls } from '../engine.js'
import type { TlsMaterial } from '../../../../support/tls.js'
import type * as Uws from 'uWebSockets.js'

type UwsModule = typeof Uws

/** Its published types omit how apps share what one of them accepts. */
interface App extends Uws.TemplatedApp {
  getDescriptor (): unknown
  addChildAppDescriptor (descriptor: unknown): void
  removeChildAppDescriptor (descriptor: unknown): void
}

/** Read by the binary only when it loads. */
const HEAD_BYTES_VARIABLE = 'UWS_HTTP_MAX_HEADERS_SIZE'
/** How much of an answer uWebSockets.js holds back until the parser has finished a read. */
const CORK_BYTES = 16 * 1024

/** Refusals, padded so as not to be held back, without the final line break: uWebSockets.js adds one to a status. */
const REFUSAL_STATUSES = Object.fromEntries(
  REFUSALS.map((code) => [code, refusalText(code, CORK_BYTES).slice(0, -2)])) as Record<RefusalCode, string>

/** @throws whatever the import throws if no binary loads on this machine */
export async function loadUws (): Promise<HttpEngine> {
  process.env[HEAD_BYTES_VARIABLE] ??= String(HEAD_BYTES_MAX)
  const { uws, release } = await importUws()
  return {
    name: 'uws',
    release,
    checkTls: (tls) => { createApp(uws, tls).close() },
    listen: async (host, port, handler, options = {}) => {
      const server = new UwsServer(uws, handler, options)
      await server.start(host, port)
      return server
    }
  }
}

/** @param tls null: plain HTTP */
function createApp (uws: UwsModule, tls: ServerTls | null): App {
  if (tls === null) return uws.App() as App
  const { material: { cert, key, clientCa }, directory } = tls
  // It would verify those that it gets, but lets clients without one in.
  if (clientCa !== null) throw new Error('it does not require certificates of clients')
  const app = withUnnamedFiles(directory, [cert, key], ([certFile = '', keyFile = '']) => {
    return uws.SSLApp({ cert_file_name: certFile, key_file_name: keyFile }) as App
  })
  // Releases of 2023 have no such function.
  if (!('removeChildAppDescriptor' in app)) throw new Error('it cannot switch to another certificate')
  return app
}

/**
 * An app has one certificate for good, so another certificate needs another app. The first one listens for as long as
 * the server does, so that no connection is lost in between, and passes what it accepts on to the latest one. The
 * others go on with the connections that they have.
 */
class UwsServer extends EngineServer<UwsExchange> {
  port = 0
  readonly random: () => number
  private connections = 0
  /** In the order of their certificates. uWebSockets.js frees none of them (40 KB each) before the process ends. */
  private readonly apps: [App, ...App[]]
  private tls: ServerTls | null
  private listenSocket: Uws.us_listen_socket | false = false
  private onIdle: (() => void) | null = null
  private onEmpty: (() => void) | null = null

  constructor (private readonly uws: UwsModule, private readonly handler: HttpHandler, options: ListenOptions) {
    super(options)
    this.random = options.random ?? Math.random
    this.tls = options.tls ?? null
    this.apps = [this.openApp(this.tls)]
  }

  async start (host: string, port: number): Promise<void> {
    this.listenSocket = await new Promise((resolve) => this.apps[0].listen(host, port, resolve))
    if (this.listenSocket === false) {
      this.watch.close()
      this.apps[0].close()
      throw new Error(`cannot listen on ${host}:${port}: the address is in use or not local`)
    }
    this.port = this.uws.us_socket_local_port(this.listenSocket)
  }

  async useTls (material: TlsMaterial): Promise<void> {
    if (this.tls === null) throw new TypeError('the server has no TLS')
    if (isDeepStrictEqual(material, this.tls.material)) return
    const { apps: [first, ...others] } = this
    const tls = { ...this.tls, material }
    const [previous, next] = [others.at(-1), this.openApp(tls)]
    this.tls = tls
    this.apps.push(next)
    first.addChildAppDescriptor(next.getDescriptor())
    if (previous !== undefined) first.removeChildAppDescriptor(previous.getDescriptor())
    await Promise.resolve()
  }

  private openApp (tls: ServerTls | null): App {
    const app = createApp(this.uws, tls)
    let request: UwsRequest
    const addHeader = (name: string, value: string): void => request.addHeader(name, value)
    app.filter((res, change) => this.count(res, change))
    app.any('/*', (res, req) => {
      request = new UwsRequest(req, res)
      req.forEach(addHeader)
      if (request.fault !== null) {
        this.refuse(res, request.fault)
        return
      }
      const exchange = new UwsExchange(res, request, this)
      this.handler(request, exchange)
      exchange.afterHandler()
    })
    return app
  }

  /** @param change 1: a connection was opened; -1: it was closed */
  private count (res: Uws.HttpResponse, change: number): void {
    this.connections += change
    if (this.connections === 0) this.onEmpty?.()
    if (change < 0 || this.connections <= this.connectionsMax) return
    if (this.tls === null) {
      this.refuse(res, 'too_many_connections')
      return
    }
    // Before its handshake, nobody would understand an answer.
    this.onRefused('too_many_connections')
    res.close()
  }

  /**
   * Answers, and closes the connection before the parser reads past the head. An ordinary answer would be held back
   * until the rest of the read was served; this one is written as a status long enough to be sent at once, and the
   * response is never ended.
   */
  refuse (res: Uws.HttpResponse, code: RefusalCode): void {
    this.onRefused(code)
    res.writeStatus(REFUSAL_STATUSES[code])
    res.close()
  }

  override finish (exchange: UwsExchange): void {
    super.finish(exchange)
    if (this.open.size === 0) this.onIdle?.()
  }

  protected stopListening (): void {
    if (this.listenSocket !== false) this.uws.us_listen_socket_close(this.listenSocket)
    this.listenSocket = false
  }

  protected async drain (deadlineMs: number): Promise<void> {
    if (this.open.size > 0) await this.idle(deadlineMs)
    // The last answer may still be corked: it is sent when this turn of the event loop ends. What the first app has
    // accepted reaches the latest one in the next turn.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    for (const app of this.apps) app.close()
  }

  protected async emptied (deadlineMs: number): Promise<void> {
    // What was accepted last counts as a connection two turns later.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
    if (this.connections > 0) await within(deadlineMs, (resolve) => { this.onEmpty = resolve })
  }

  private async idle (deadlineMs: number): Promise<void> {
    await within(deadlineMs, (resolve) => { this.onIdle = resolve })
  }
}
