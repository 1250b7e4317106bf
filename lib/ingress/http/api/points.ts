/**
 * The two routes that accept points: checks the head, reads and decodes the body, offers the points to the intake, and
 * answers once they are as safe as requested. Callbacks throughout: no promise per request.
 */
import { performance } from 'node:perf_hooks'
import { ACK_LEVELS } from '../../../pipeline/intake.js'
import { findEncoding, unpack } from './formats.js'
import { ECHO_MAX } from '../../../../protocol/names.js'
import type { SatellitePatterns } from '../../../limits/satellite-patterns.js'
import type { Ack, AckLevel, Intake } from '../../../pipeline/intake.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { Decode, FormatTable } from './formats.js'
import type { HttpCounters } from './counters.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { RouteCall } from './reply.js'
import type { RouteHandler } from './router.js'

/** Everything the point routes work with. */
export interface PointContext {
  readonly intake: Intake
  readonly counters: HttpCounters
  /** Points are made durable in a replicated log, not on this host: acknowledgements say so. */
  readonly isReplicated: boolean
  /** Microseconds since 1970. */
  readonly now: () => number
}

export interface PointRoute {
  readonly formats: FormatTable
  /** Of its bodies, also when decompressed. */
  readonly bodyBytesMax: number
  /** Said of a larger one; null: that MAX_BODY_BYTES is the bound. */
  readonly tooLarge: string | null
  /** Appended to the error about an unknown content type. */
  readonly hint: string
  /** Body of the 202, taken from the columns before they are refilled. */
  readonly answer: (columns: PointColumns) => string
}

/** What the head of a request asks for. */
interface Order {
  readonly ack: AckLevel
  readonly decode: Decode
  readonly encoding: 'identity' | 'gzip'
}

/**
 * Body of a single point. The head alone tells that a larger one is none, so it costs nothing. The largest point, of
 * METRICS_MAX metrics with the longest names and numbers, has 300 KB.
 */
export const POINT_BODY_BYTES_MAX = 512 * 1024

/** What `ack` may be. */
const ACK_WORDS = [...ACK_LEVELS, 'replicated'] as const

export function createPointHandler (context: PointContext, route: PointRoute): RouteHandler {
  return (call) => {
    const order = readHead(context, route, call)
    if (order === null) return
    const post = new PointPost(context, route, order, call)
    call.readBody(route.bodyBytesMax, (body) => post.receive(body), tooLargeFor(route))
  }
}

function tooLargeFor ({ tooLarge }: PointRoute): ErrorExtras {
  return tooLarge === null ? {} : { message: tooLarge }
}

/** Checks everything that can be refused before the body is read. Null: it was refused and answered. */
function readHead (context: PointContext, { formats, hint }: PointRoute, call: RouteCall): Order | null {
  const { intake, counters } = context
  const { request } = call
  const ack = readAck(request.query, context.isReplicated)
  if (typeof ack === 'object') {
    call.fail('invalid_query', ack)
    return null
  }
  const decode = formats.find(request.header('content-type'))
  if (decode === null) {
    call.fail('unsupported_media_type', { message: `Content-Type must be one of ${formats.names}${hint}.` })
    return null
  }
  const encoding = findEncoding(request.header('content-encoding'))
  if (encoding === null) {
    call.fail('unsupported_encoding')
    return null
  }
  const waitSeconds = call.client?.pointsWaitSeconds() ?? 0
  if (waitSeconds > 0) {
    counters.denied.rate_limited++
    call.fail('rate_limited', { retryAfterSeconds: waitSeconds })
    return null
  }
  const refusal = intake.refusal(ack)
  if (refusal !== null) {
    call.fail(refusal.code, { retryAfterSeconds: refusal.retryAfterSeconds })
    return null
  }
  return { ack, decode, encoding }
}

/**
 * Reads `ack` from the query, 'spooled' by default. Other parameters are errors: a misspelt `ack` would silently weaken
 * what an acknowledgement means. With a replicated log 'spooled' and 'replicated' are the same level.
 */
function readAck (query: string, isReplicated: boolean): AckLevel | { readonly message: string } {
  if (query === '') return 'spooled'
  const parameters = [...new URLSearchParams(query)]
  const unknown = parameters.find(([name]) => name !== 'ack')
  if (unknown !== undefined) {
    const name = JSON.stringify(unknown[0].slice(0, ECHO_MAX))
    return { message: `Unknown query parameter ${name}; the only one is ack.` }
  }
  const value = parameters[0]?.[1]
  if (value === 'replicated' && parameters.length === 1) {
    if (isReplicated) return 'spooled'
    return { message: 'ack=replicated needs SPOOL_DIR=nats://…: this server has no replicated log.' }
  }
  const level = ACK_LEVELS.find((each) => each === value)
  if (level !== undefined && parameters.length === 1) return level
  return { message: `ack must be one of ${ACK_WORDS.join(', ')}, given once.` }
}

/** One request with points, from its body to its answer. */
class PointPost {
  constructor (
    private readonly context: PointContext,
    private readonly route: PointRoute,
    private readonly order: Order,
    private readonly call: RouteCall
  ) {}

  receive (body: Buffer): void {
    const { context, order, route, call } = this
    context.counters.bodyBytes += body.length
    if (order.encoding === 'identity') {
      this.decodeAndOffer(body)
      return
    }
    const { exchange, counters } = call
    unpack(
      body,
      route.bodyBytesMax,
      (unpacked) => {
        // The client has gone, and nothing was accepted: it will send the points again.
        if (exchange.aborted) counters.aborted++
        else this.decodeUnpacked(unpacked)
      },
      (failure) => call.fail(failure, failure === 'body_too_large' ? tooLargeFor(route) : {}))
  }

  /** In a callback of zlib, where nobody else catches exceptions. */
  private decodeUnpacked (body: Buffer): void {
    try {
      this.decodeAndOffer(body)
    } catch (error) {
      this.call.crash(error)
    }
  }

  private decodeAndOffer (body: Buffer): void {
    const { context: { intake, now }, order, route, call } = this
    const { columns } = intake
    const fault = order.decode(body, now(), intake.rules, intake.satellites, columns)
    if (fault !== null) {
      call.client?.takePoints(fault.points)
      intake.reject(fault.points)
      call.fail(fault.code, { message: fault.message, details: fault.details })
      return
    }
    call.client?.takePoints(columns.count)
    if (this.isForbidden(columns)) return
    const answer = route.answer(columns)
    if (columns.count === 0) {
      call.accept(answer)
      return
    }
    const startedMs = performance.now()
    intake.offer(order.ack, (ack) => this.acknowledge(ack, answer, startedMs))
  }

  /** Whether the token does not allow one of the satellites, or not so many; if so, answers that. */
  private isForbidden (columns: PointColumns): boolean {
    const { context, call } = this
    if (call.caller === null) return false
    const { satellites: allowed, quota } = call.caller
    const forbidden = allowed === null ? null : forbiddenSatellite(allowed, columns)
    const surplus = forbidden === null ? quota?.admit(columns) ?? null : null
    if (forbidden === null && surplus === null) return false
    const code = forbidden === null ? 'too_many_satellites' : 'satellite_forbidden'
    context.intake.reject(columns.count)
    context.counters.denied[code]++
    call.fail(code, forbidden ?? { message: surplusMessage(quota?.max ?? 0, String(surplus)) })
    return true
  }

  private acknowledge (ack: Ack, answer: string, startedMs: number): void {
    const { context, order, call } = this
    if (ack === null) {
      context.counters.observeAck(performance.now() - startedMs)
      call.accept(context.isReplicated && order.ack === 'spooled' ? replicated(answer) : answer)
    } else if (ack === 'on_disk') {
      call.accept(durable(answer, context.isReplicated ? 'replicated' : 'spooled'))
    } else {
      call.fail(ack)
    }
  }
}

/** Names the first point whose satellite the token does not allow; null if there is none. */
function forbiddenSatellite (allowed: SatellitePatterns, { count, satellites }: PointColumns): ErrorExtras | null {
  for (let point = 0; point < count; point++) {
    const satellite = satellites[point]
    // Consecutive points are often from the same satellite.
    if (satellite === undefined || satellite === satellites[point - 1] || allowed.matches(satellite.id)) continue
    const message = `The token does not allow points of ${JSON.stringify(satellite.id)}; ` +
      'no point of the body was accepted.'
    const detail = { index: point, field: 'satellite_id', message: 'is not one of those that the token allows' }
    return { message, details: [detail] }
  }
  return null
}

function surplusMessage (max: number, satellite: string): string {
  return `The token has sent points of ${max} satellites, as many as it may; ` +
    `${JSON.stringify(satellite)} would be one more. No point of the body was accepted.`
}

/** The answer to accepted points that are not yet in the database when their deadline has passed. */
function durable (answer: string, status: 'spooled' | 'replicated'): string {
  return JSON.stringify({ ...JSON.parse(answer) as object, status })
}

/** Names the level in an answer, which is a JSON object. */
function replicated (answer: string): string {
  return `${answer.slice(0, -1)},"ack":"replicated"}`
}
