/** The HTTP interface of a worker: which paths there are and what answers them. */
import { OperatingError } from '../../../support/errors.js'
import { BATCH_FORMATS, FormatTable, POINT_FORMATS } from './formats.js'
import { OriginCheck } from '../engines/origins.js'
import { createPointHandler } from './points.js'
import { createProbeRoutes, withoutDetails } from './probes.js'
import { PointAnswers, replyAnswer, replyError, replyJson } from './reply.js'
import { crash, createRouter } from './router.js'
import { readSenderQuery } from './senders.js'
import type { Config } from '../../../config/config.js'
import type { Intake } from '../../../pipeline/intake.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { HttpCounters, RouteCounters } from './counters.js'
import type { HttpExchange, HttpHandler } from '../engines/engine.js'
import type { PointContext } from './points.js'
import type { RouteHandler, RouteTable } from './router.js'
import type { StatusAnswer, StatusPort } from './status-port.js'
import type { TokenCheck } from './tokens.js'

export interface HandlerParts {
  readonly intake: Intake
  readonly status: StatusPort
  readonly config: Pick<Config, 'maxBodyBytes' | 'allowedOrigins'>
  readonly tokens: TokenCheck
  readonly counters: HttpCounters
  /** Microseconds since 1970: the time of points that carry none. */
  readonly now: () => number
  /** Routes beside those for points and status. */
  readonly routes?: RouteTable
}

export function createHandler (parts: HandlerParts): HttpHandler {
  const { intake, status, config, tokens, counters, now } = parts
  const context: PointContext = { intake, counters, now, maxBodyBytes: config.maxBodyBytes }
  const routes: RouteTable = {
    '/telemetry': { name: 'telemetry', writer: 'ingest', methods: { POST: createPointRoute(context) } },
    '/telemetry/batch': { name: 'batch', writer: 'ingest', methods: { POST: createBatchRoute(context) } },
    ...createProbeRoutes(intake),
    '/health': { name: 'health', open: true, methods: { GET: createHealthRoute(status, tokens) } },
    '/metrics': { name: 'metrics', methods: { GET: createStatusRoute(async () => await status.metrics()) } },
    '/udp/senders': { name: 'senders', methods: { GET: createSendersRoute(status) } },
    ...parts.routes
  }
  const table = { ...routes, '/': { name: 'index', methods: { GET: createIndexRoute(routes) } } } as const
  return createRouter(table, { tokens, origins: new OriginCheck(config.allowedOrigins) }, counters)
}

function createPointRoute (context: PointContext): RouteHandler {
  const answers = new PointAnswers()
  return createPointHandler(context, {
    formats: new FormatTable(POINT_FORMATS),
    hint: '; bodies of many points go to /telemetry/batch',
    answer: (columns) => {
      const satellite = columns.satellites[0]
      if (columns.count !== 1 || satellite === undefined) throw new RangeError('a decoder of one point gave none or several')
      return answers.body(satellite)
    }
  })
}

function createBatchRoute (context: PointContext): RouteHandler {
  return createPointHandler(context, {
    formats: new FormatTable(BATCH_FORMATS),
    hint: '',
    answer: (columns: PointColumns) => `{"status":"accepted","count":${columns.count}}`
  })
}

/** An answer that the primary gives; it fails by an OperatingError when the primary cannot. */
function createStatusRoute (ask: () => Promise<StatusAnswer>): RouteHandler {
  return (_request, exchange, counters) => replyStatus(ask(), exchange, counters)
}

/** Its details are for those who may read. */
function createHealthRoute (status: StatusPort, tokens: TokenCheck): RouteHandler {
  return (request, exchange, counters) => {
    const isReader = typeof tokens.check(request, 'read') !== 'string'
    replyStatus(isReader ? status.health() : status.health().then(withoutDetails), exchange, counters)
  }
}

function createSendersRoute (status: StatusPort): RouteHandler {
  return (request, exchange, counters) => {
    const query = readSenderQuery(request.query)
    if ('message' in query) replyError(exchange, counters, 'invalid_query', query)
    else replyStatus(status.senders(query), exchange, counters)
  }
}

function replyStatus (asked: Promise<StatusAnswer>, exchange: HttpExchange, counters: RouteCounters): void {
  asked.then(
    (answer) => replyAnswer(exchange, counters, answer),
    (error: unknown) => {
      if (error instanceof OperatingError) replyError(exchange, counters, error.code, { message: error.message })
      else crash(exchange, counters, error)
    })
}

/** Says what there is to ask for. */
function createIndexRoute (routes: RouteTable): RouteHandler {
  const endpoints = Object.entries(routes).flatMap(([path, route]) => Object.keys(route.methods).map((method) => `${method} ${path}`))
  return (_request, exchange, counters) => replyJson(exchange, counters, { name: 'OrbitStream', endpoints })
}
