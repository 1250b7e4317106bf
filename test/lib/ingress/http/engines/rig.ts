/** The base of the HTTP contract tests: a server of either engine with a fake intake, and a client on a raw socket. */
import { EventEmitter, once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import t from 'tap'
import { Client } from 'undici'
import { createHandler } from '../../../../../lib/ingress/http/api/routes.js'
import { BODY_STALL_MS, IDLE_MS } from '../../../../../lib/ingress/http/engines/engine.js'
import { HttpCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { loadEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import { UnreadTotal } from '../../../../../lib/ingress/http/engines/unread-total.js'
import { tokensFromSetting } from '../../../../../lib/access/token.js'
import { PointColumns } from '../../../../../protocol/columns.js'
import { TELEMETRY } from '../../../../support/points/built-in.js'
import { SatelliteTable } from '../../../../../protocol/satellites.js'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { Ack, AckLevel, Intake, OnAck, Refusal } from '../../../../../lib/pipeline/intake.js'
import type {
  AddressBound, HttpEngine, HttpHandler, HttpServer, ListenOptions, ServerTls
} from '../../../../../lib/ingress/http/engines/engine.js'
import type { ClientBounds } from '../../../../../lib/ingress/http/clients/client-bounds.js'
import type { Route, RouteTable } from '../../../../../lib/ingress/http/api/router.js'
import type { SenderQuery, StatusAnswer, StatusPort } from '../../../../../lib/ingress/http/api/status-port.js'

export const NOW_MICROS = 1_800_000_000_000_000
export const MAX_BODY_BYTES = 1_000_000
export const POINT = '{"satellite_id":"SAT-0001","battery_charge_percent":80.5}'
/** A test that waits this long is stuck. */
const PATIENCE_MS = 10_000

export interface Offer {
  readonly ack: AckLevel
  readonly ids: string[]
  readonly timesMicros: number[]
}

export class FakeIntake implements Intake {
  readonly columns = new PointColumns(TELEMETRY)
  readonly satellites = new SatelliteTable()
  readonly rules = { timeWindowPastMs: 3_600_000, timeWindowFutureMs: 60_000, unknownFields: 'reject' } as const
  readonly offers: Offer[] = []
  readonly held: OnAck[] = []
  readonly events = new EventEmitter()
  rejected = 0
  refused: Refusal | null = null
  answer: Ack = null
  /** Acknowledge nothing until release(). */
  hold = false

  refusal (): Refusal | null {
    return this.refused
  }

  offer (ack: AckLevel, onAck: OnAck): void {
    const { count, satellites, timesMicros } = this.columns
    const ids = satellites.slice(0, count).map(({ id }) => id)
    this.offers.push({ ack, ids, timesMicros: [...timesMicros.subarray(0, count)] })
    // As with a real intake: the columns serve other bodies before this one is acknowledged.
    this.columns.clear()
    if (this.hold) this.held.push(onAck)
    else setImmediate(() => onAck(this.answer))
    this.events.emit('offer')
  }

  reject (points: number): void {
    this.rejected += points
  }

  shed (): void {
    throw new Error('HTTP refuses points, and never drops any')
  }

  /** Resolves once there were `count` offers in total. */
  async offered (count: number): Promise<void> {
    while (this.offers.length < count) await once(this.events, 'offer', { signal: AbortSignal.timeout(PATIENCE_MS) })
  }

  release (): void {
    for (const onAck of this.held.splice(0)) onAck(this.answer)
  }
}

/** Answers at once, or after 'go' if there is a listener for 'asked'. */
export class FakeStatus implements StatusPort {
  readonly events = new EventEmitter()
  /** Queries passed to senders(). */
  readonly queries: SenderQuery[] = []
  answer: StatusAnswer | Error = { status: 200, contentType: 'application/json', body: '{"status":"healthy"}' }

  async health (): Promise<StatusAnswer> {
    return await this.reply()
  }

  async metrics (): Promise<StatusAnswer> {
    return await this.reply()
  }

  async senders (query: SenderQuery): Promise<StatusAnswer> {
    this.queries.push(query)
    return await this.reply()
  }

  private async reply (): Promise<StatusAnswer> {
    if (this.events.emit('asked')) await once(this.events, 'go', { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (this.answer instanceof Error) throw this.answer
    return this.answer
  }
}

export interface RigOptions {
  readonly apiTokens?: readonly string[]
  /** Replaces apiTokens. */
  readonly tokens?: TokenCheck
  readonly clients?: ClientBounds
  readonly connectionsByAddress?: AddressBound
  readonly routes?: RouteTable
  readonly page?: (index: Route) => RouteTable
  readonly allowedOrigins?: readonly string[]
  readonly bodyStallMs?: number
  readonly maxBodyBytes?: number
  readonly connectionsMax?: number
  readonly idleMs?: number
  readonly unread?: UnreadTotal
  /** Default: no answer without a body closes its connection. */
  readonly random?: () => number
  /** Null: plain HTTP. */
  readonly tls?: ServerTls | null
}

export interface Rig {
  readonly intake: FakeIntake
  readonly status: FakeStatus
  readonly counters: HttpCounters
  readonly acksMs: number[]
  readonly server: HttpServer
  readonly origin: string
  readonly send: (path: string, options?: SendOptions) => Promise<Answer>
}

export interface SendOptions {
  readonly method?: string
  readonly body?: string | Buffer | Readable | null
  readonly headers?: Record<string, string>
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly text: string
}

type EngineTest = (t: Test, engine: HttpEngine) => Promise<void>

/** Runs a test on both engines, each with its name as prefix. */
export function onBothEngines (name: string, body: EngineTest): void {
  onEngine('uws', name, body)
  onEngine('node', name, body)
}

export function onEngine (kind: HttpEngine['name'], name: string, body: EngineTest): void {
  t.test(`${kind}: ${name}`, async (t) => await body(t, await loadEngine(kind)))
}

/** A JSON array of `count` points, S-0, S-1, … */
export function batch (count: number): string {
  const point = (index: number): string => `{"satellite_id":"S-${index}","storage_usage_mb":${index}}`
  const points = Array.from({ length: count }, (_, index) => point(index))
  return `[${points.join(',')}]`
}

/** A POST request, byte for byte. */
export function post (path: string, headers: string, body: string | Buffer = ''): Buffer {
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`), Buffer.from(body)])
}

export async function startServer (
  t: Test, engine: HttpEngine, handler: HttpHandler, options: ListenOptions = {}
): Promise<HttpServer> {
  const server = await engine.listen('127.0.0.1', 0, handler, { random: () => 1, ...options })
  t.teardown(async () => await server.close(0))
  return server
}

/** @param apiTokens as in API_TOKENS */
export function tokenCheckOf (apiTokens: readonly string[]): TokenCheck {
  return new TokenCheck(apiTokens.length === 0 ? null : tokensFromSetting(apiTokens), { readOpen: false })
}

export async function startRig (t: Test, engine: HttpEngine, options: RigOptions = {}): Promise<Rig> {
  const intake = new FakeIntake()
  const status = new FakeStatus()
  const acksMs: number[] = []
  const counters = new HttpCounters((ms) => acksMs.push(ms))
  const config = { maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES, allowedOrigins: options.allowedOrigins ?? [] }
  const tokens = options.tokens ?? tokenCheckOf(options.apiTokens ?? [])
  const routes = options.routes ?? {}
  const tls = options.tls ?? null
  const page = options.page === undefined ? {} : { page: options.page }
  const clients = options.clients === undefined ? {} : { clients: options.clients }
  const handler = createHandler({
    intake,
    streams: new Map([['telemetry', intake]]),
    status,
    config,
    tokens,
    counters,
    now: () => NOW_MICROS,
    routes,
    ...clients,
    ...page
  })
  const server = await startServer(t, engine, handler, {
    tls,
    bodyStallMs: options.bodyStallMs ?? BODY_STALL_MS,
    idleMs: options.idleMs ?? IDLE_MS,
    connectionsMax: options.connectionsMax ?? Infinity,
    connectionsByAddress: options.connectionsByAddress ?? null,
    unread: options.unread ?? new UnreadTotal(),
    ...options.random === undefined ? {} : { random: options.random },
    onRefused: (code) => { counters.refused[code]++ }
  })
  const origin = `http${tls === null ? '' : 's'}://127.0.0.1:${server.port}`
  const client = new Client(origin, tls === null ? {} : { connect: { ca: tls.material.cert } })
  t.teardown(async () => await client.destroy())
  const send: Rig['send'] = async (path, { method = 'POST', body = null, headers = {} } = {}) => {
    const answer = await client.request({ path, method, body, headers })
    return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
  }
  return { intake, status, counters, acksMs, server, origin, send }
}

export function errorOf (answer: { readonly text: string }): { code: string, message: string, details?: unknown } {
  return (JSON.parse(answer.text) as { error: { code: string, message: string } }).error
}

/** A client that writes raw bytes, and reads answers with Content-Length in order. */
export class RawClient {
  private received = ''
  private readonly changes = new EventEmitter()
  closed = false

  /** @param tls the same socket; null: plain */
  private constructor (readonly socket: Socket, readonly tls: TLSSocket | null = null) {
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.received += text
      this.changes.emit('change')
    })
    // A reset shows as 'close' too.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.closed = true
      this.changes.emit('change')
    })
  }

  static async open (t: Test, port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1' })
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** Over TLS. Rejects if the handshake fails. */
  static async openTls (
    t: Test, port: number, options: ConnectionOptions & { readonly allowHalfOpen?: boolean }
  ): Promise<RawClient> {
    const socket = connectTls({ port, host: '127.0.0.1', ...options })
    t.teardown(() => socket.destroy())
    await once(socket, 'secureConnect')
    return new RawClient(socket, socket)
  }

  write (text: string | Buffer): void {
    this.socket.write(text)
  }

  /** Sends one point in one write. */
  post (path = '/telemetry', body = POINT): void {
    this.write(`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
  }

  async waitFor (isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.received)}`)
      await once(this.changes, 'change', { signal: AbortSignal.timeout(PATIENCE_MS) })
    }
  }

  async waitForText (text: string): Promise<void> {
    await this.waitFor(() => this.received.includes(text))
  }

  /** Waits for the other side to close, or to reset the connection. */
  async waitForEnd (): Promise<void> {
    if (this.socket.readableEnded || this.closed) return
    await Promise.race([once(this.socket, 'end'), once(this.socket, 'close')]).catch(() => {})
  }

  /** The next answer. @param hasBody false: an answer to HEAD */
  async answer (hasBody = true): Promise<Answer> {
    await this.waitForText('\r\n\r\n')
    const [head = '', ...lines] = this.received.slice(0, this.received.indexOf('\r\n\r\n')).split('\r\n')
    const headers = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }))
    const start = this.received.indexOf('\r\n\r\n') + 4
    const end = hasBody ? start + Number(headers['content-length'] ?? 0) : start
    await this.waitFor(() => this.received.length >= end)
    const text = this.received.slice(start, end)
    this.received = this.received.slice(end)
    return { status: Number(head.split(' ')[1]), headers, text }
  }

  get unread (): string {
    return this.received
  }
}
