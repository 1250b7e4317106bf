/**
 * The two routes that take points: checks of the head, body, decoder, intake, and the answer once the points are as
 * safe as was asked for. Callbacks all the way: no promise per request.
 */
import { performance } from 'node:perf_hooks'
import { ACK_LEVELS } from '../../../pipeline/intake.js'
import { findEncoding, unpack } from './formats.js'
import { replyAccepted, replyError } from './reply.js'
import { crash } from './router.js'
import type { SatellitePatterns } from '../../../limits/satellite-patterns.js'
import type { AckLevel, Intake } from '../../../pipeline/intake.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { Decode, FormatTable } from './formats.js'
import type { HttpCounters, RouteCounters } from './counters.js'
import type { HttpExchange, HttpRequest } from '../engines/engine.js'
import type { ErrorExtras } from './reply.js'
import type { RouteHandler } from './router.js'

/** What the point routes work with. */
export interface PointContext {
  readonly intake: Intake
  readonly counters: HttpCounters
  readonly maxBodyBytes: number
  /** Microseconds since 1970. */
  readonly now: () => number
}

export interface PointRoute {
  readonly formats: FormatTable
  /** Added to the answer to a content type that is not in `formats`. */
  readonly hint: string
  /** Body of the 202, read off the columns before they are filled again. */
  readonly answer: (columns: PointColumns) => string
}

/** What the head of a request asked for. */
interface Order {
  readonly ack: AckLevel
  readonly decode: Decode
  readonly encoding: 'identity' | 'gzip'
  /** Whoever sends it may send points of these alone; null: of all. */
  readonly satellites: SatellitePatterns | null
}

export function createPointHandler (context: PointContext, route: PointRoute): RouteHandler {
  return (request, exchange, counters, _parameter, caller) => {
    const order = readHead(context, route, request, caller?.satellites ?? null, exchange, counters)
    if (order === null) return
    exchange.readBody(
      context.maxBodyBytes,
      (body) => receive(context, route, order, body, exchange, counters),
      (failure) => {
        if (failure === 'aborted') counters.aborted++
        else replyError(exchange, counters, failure)
      })
  }
}

/** Everything that can be refused before the body is read; null: it was, and is answered. */
function readHead (context: PointContext, route: PointRoute, request: HttpRequest, satellites: SatellitePatterns | null, exchange: HttpExchange, counters: RouteCounters): Order | null {
  const ack = readAck(request.query)
  if (typeof ack === 'object') {
    replyError(exchange, counters, 'invalid_query', ack)
    return null
  }
  const decode = route.formats.find(request.header('content-type'))
  if (decode === null) {
    replyError(exchange, counters, 'unsupported_media_type', { message: `Content-Type must be one of ${route.formats.names}${route.hint}.` })
    return null
  }
  const encoding = findEncoding(request.header('content-encoding'))
  if (encoding === null) {
    replyError(exchange, counters, 'unsupported_encoding')
    return null
  }
  const refusal = context.intake.refusal(ack)
  if (refusal !== null) {
    replyError(exchange, counters, refusal.code, { retryAfterSeconds: refusal.retryAfterSeconds })
    return null
  }
  return { ack, decode, encoding, satellites }
}

/**
 * `ack` of the query, 'spooled' without one. Another parameter is an error: a misspelt `ack` would weaken what an
 * acknowledgement means without anybody noticing.
 */
function readAck (query: string): AckLevel | { readonly message: string } {
  if (query === '') return 'spooled'
  const parameters = [...new URLSearchParams(query)]
  const unknown = parameters.find(([name]) => name !== 'ack')
  if (unknown !== undefined) return { message: `Unknown query parameter ${JSON.stringify(unknown[0])}; the only one is ack.` }
  const value = parameters[0]?.[1]
  const level = ACK_LEVELS.find((each) => each === value)
  if (level === undefined || parameters.length !== 1) return { message: `ack must be one of ${ACK_LEVELS.join(', ')}, given once.` }
  return level
}

function receive (context: PointContext, route: PointRoute, order: Order, body: Buffer, exchange: HttpExchange, counters: RouteCounters): void {
  context.counters.bodyBytes += body.length
  if (order.encoding === 'identity') {
    accept(context, route, order, body, exchange, counters)
    return
  }
  unpack(
    body,
    context.maxBodyBytes,
    (unpacked) => {
      // Nobody waits for an answer any more, and nothing was taken: the client will send it again.
      if (exchange.aborted) counters.aborted++
      else accept(context, route, order, unpacked, exchange, counters)
    },
    (failure) => replyError(exchange, counters, failure))
}

/** Runs in callbacks of the engine, where the router cannot catch: a throw is turned into a crash here. */
function accept (context: PointContext, route: PointRoute, order: Order, body: Buffer, exchange: HttpExchange, counters: RouteCounters): void {
  try {
    decodeAndOffer(context, route, order, body, exchange, counters)
  } catch (error) {
    crash(exchange, counters, error)
  }
}

function decodeAndOffer (context: PointContext, route: PointRoute, order: Order, body: Buffer, exchange: HttpExchange, counters: RouteCounters): void {
  const { intake } = context
  const { columns } = intake
  const fault = order.decode(body, context.now(), intake.rules, intake.satellites, columns)
  if (fault !== null) {
    intake.reject(fault.points)
    replyError(exchange, counters, fault.code, { message: fault.message, details: fault.details })
    return
  }
  const foreign = order.satellites === null ? null : foreignSatellite(order.satellites, columns)
  if (foreign !== null) {
    intake.reject(columns.count)
    context.counters.denied.satellite_forbidden++
    replyError(exchange, counters, 'satellite_forbidden', foreign)
    return
  }
  const answer = route.answer(columns)
  if (columns.count === 0) {
    replyAccepted(exchange, counters, answer)
    return
  }
  const started = performance.now()
  intake.offer(order.ack, (ack) => {
    if (ack === null) {
      context.counters.observeAck(performance.now() - started)
      replyAccepted(exchange, counters, answer)
    } else if (ack === 'on_disk') {
      replyAccepted(exchange, counters, onDisk(answer))
    } else {
      replyError(exchange, counters, ack)
    }
  })
}

/** Names the first point that may not be sent; null: there is none. */
function foreignSatellite (allowed: SatellitePatterns, { count, satellites }: PointColumns): ErrorExtras | null {
  for (let point = 0; point < count; point++) {
    const satellite = satellites[point]
    // Points of one satellite often follow one another.
    if (satellite === undefined || satellite === satellites[point - 1] || allowed.matches(satellite.id)) continue
    const message = `The token does not allow points of ${JSON.stringify(satellite.id)}; none of the body was taken.`
    return { message, details: [{ index: point, field: 'satellite_id', message: 'is not one of those that the token allows' }] }
  }
  return null
}

/** The answer to points that are taken, but not yet in the database when a client has waited long enough for that. */
function onDisk (answer: string): string {
  return JSON.stringify({ ...JSON.parse(answer) as object, status: 'spooled' })
}
