/** The HTTP interface of a worker: its paths and their handlers. */
import { noSuchStream } from '../../../../protocol/names.js'
import { BATCH_FORMATS, FormatTable, POINT_FORMATS } from './formats.js'
import { OriginCheck } from '../engines/origins.js'
import { Parameters, wholeNumber } from './parameters.js'
import { POINT_BODY_BYTES_MAX, createPointHandler } from './points.js'
import { createProbeRoutes, withoutDetails } from './probes.js'
import { PointAnswers } from './reply.js'
import { createRouter } from './router.js'
import type { Config } from '../../../config/settings.js'
import type { Intake } from '../../../pipeline/intake.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { HttpCounters } from './counters.js'
import type { Headers, HttpHandler } from '../engines/engine.js'
import type { PointContext } from './points.js'
import type { Route, RouteHandler, RouteTable } from './router.js'
import type { StatusPort } from './status-port.js'
import type { TokenCheck } from './tokens.js'
import type { ClientBounds } from '../clients/client-bounds.js'

const SENDERS_COUNT = 100
const SENDERS_COUNT_MAX = 1_000
/** More senders than there can be. */
const SENDERS_OFFSET_MAX = 1_000_000

export interface HandlerParts {
  /** Of the stream `telemetry`. */
  readonly intake: Intake
  /** By stream, `telemetry` included. */
  readonly streams: ReadonlyMap<string, Intake>
  readonly status: StatusPort
  readonly config: Pick<Config, 'maxBodyBytes' | 'allowedOrigins'>
  /** Default: false. */
  readonly isReplicated?: boolean
  readonly tokens: TokenCheck
  /** Default: clients may send whatever they like. */
  readonly clients?: ClientBounds
  readonly counters: HttpCounters
  /** Microseconds since 1970: the time of points without one. */
  readonly now: () => number
  /** Routes besides those for points and status. */
  readonly routes?: RouteTable
  /** Adds the live page to the JSON index: returns the route of `/`, and others, which may not replace any of these. */
  readonly page?: (index: Route) => RouteTable
}

export function createHandler (parts: HandlerParts): HttpHandler {
  const { intake, streams, status, config, tokens, counters, now } = parts
  const { isReplicated = false } = parts
  const contextOf = (intake: Intake): PointContext => (
    { intake, counters, now, isReplicated })
  const context = contextOf(intake)
  const bodyBytesMax = config.maxBodyBytes
  const byStream = (create: CreatePointRoute): RouteHandler => (
    createStreamHandler(new Map(Array.from(streams, ([name, each]) => (
      [name, create(contextOf(each), bodyBytesMax, `/telemetry/${name}/batch`)])))))
  const routes: RouteTable = {
    '/telemetry': {
      name: 'telemetry',
      writer: 'ingest',
      methods: { POST: createPointRoute(context, bodyBytesMax, '/telemetry/batch') }
    },
    '/telemetry/batch': { name: 'batch', writer: 'ingest', methods: { POST: createBatchRoute(context, bodyBytesMax) } },
    '/telemetry/{stream}': { name: 'telemetry', writer: 'ingest', methods: { POST: byStream(createPointRoute) } },
    '/telemetry/{stream}/batch': { name: 'batch', writer: 'ingest', methods: { POST: byStream(createBatchRoute) } },
    ...createProbeRoutes(intake),
    '/health': { name: 'health', open: true, methods: { GET: createHealthRoute(status, tokens) } },
    '/metrics': { name: 'metrics', methods: { GET: (call) => call.answerWith(status.metrics()) } },
    '/udp/senders': { name: 'senders', methods: { GET: createSendersRoute(status) } },
    ...parts.routes
  }
  const index: Route = { name: 'index', methods: { GET: createIndexRoute(routes) } }
  const table: RouteTable = { ...parts.page?.(index) ?? { '/': index }, ...routes }
  const origins = new OriginCheck(config.allowedOrigins)
  return createRouter(table, { tokens, origins, clients: parts.clients ?? null }, counters)
}

/** Leaves the request to the handler of the stream in its path. */
function createStreamHandler (handlers: ReadonlyMap<string, RouteHandler>): RouteHandler {
  return (call) => {
    const [stream = ''] = call.parameters
    const handler = handlers.get(stream)
    if (handler === undefined) call.fail('not_found', { message: noSuchStream(stream, [...handlers.keys()]) })
    else handler(call)
  }
}

type CreatePointRoute = (context: PointContext, bodyBytesMax: number, batchPath: string) => RouteHandler

/** @param batchPath where many points go */
function createPointRoute (context: PointContext, bodyBytesMax: number, batchPath: string): RouteHandler {
  const answers = new PointAnswers()
  return createPointHandler(context, {
    formats: new FormatTable(POINT_FORMATS),
    bodyBytesMax: Math.min(bodyBytesMax, POINT_BODY_BYTES_MAX),
    tooLarge: bodyBytesMax <= POINT_BODY_BYTES_MAX
      ? null
      : `A body of one point has at most ${POINT_BODY_BYTES_MAX} bytes; bodies of many points go to ${batchPath}.`,
    hint: `; bodies of many points go to ${batchPath}`,
    answer: (columns) => {
      const satellite = columns.satellites[0]
      if (columns.count !== 1 || satellite === undefined) throw new RangeError('not exactly one point was decoded')
      return answers.body(satellite)
    }
  })
}

function createBatchRoute (context: PointContext, bodyBytesMax: number): RouteHandler {
  return createPointHandler(context, {
    formats: new FormatTable(BATCH_FORMATS),
    bodyBytesMax,
    tooLarge: null,
    hint: '',
    answer: (columns: PointColumns) => `{"status":"accepted","count":${columns.count}}`
  })
}

/** Anybody gets the status, but only readers get the details. */
function createHealthRoute (status: StatusPort, tokens: TokenCheck): RouteHandler {
  return (call) => {
    const isReader = typeof tokens.check(call.request, 'read') !== 'string'
    call.answerWith(isReader ? status.health() : status.health().then(withoutDetails))
  }
}

function createSendersRoute (status: StatusPort): RouteHandler {
  return (call) => {
    const parameters = new Parameters(call.request.query, ['offset', 'limit', 'sender'])
    const read = parameters.result({
      offset: parameters.get(
        'offset', 0, wholeNumber(0, SENDERS_OFFSET_MAX), `must be a whole number from 0 to ${SENDERS_OFFSET_MAX}`),
      limit: parameters.getCount('limit', SENDERS_COUNT, SENDERS_COUNT_MAX),
      sender: parameters.get<string | null>('sender', null, (text) => text, '')
    })
    if (read.ok) call.answerWith(status.senders(read.value))
    else call.fail('invalid_query', read)
  }
}

/** Lists the endpoints. */
function createIndexRoute (routes: RouteTable): RouteHandler {
  const endpoints = Object.entries(routes).flatMap(([path, { methods }]) => (
    Object.keys(methods).map((method) => `${method} ${path}`)
  ))
  const body = JSON.stringify({ name: 'OrbitStream', endpoints }) + '\n'
  // Browsers get something else at the same path.
  const headers: Headers = [['content-type', 'application/json'], ['cache-control', 'no-cache'], ['vary', 'accept']]
  return (call) => call.reply(200, headers, body)
}
