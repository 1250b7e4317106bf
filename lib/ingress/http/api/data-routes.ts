/** Routes for limits and anomalies: the worker reads the request, the primary has the answer. */
import { parseJsonText } from '../../../../protocol/json/json-exact.js'
import { TELEMETRY } from '../../../../protocol/metrics.js'
import { LIMIT_SET_BYTES_MAX, limitSetPartsMax } from '../../../limits/validate.js'
import { headerText } from '../engines/header-text.js'
import { replyAnswer, replyError } from './reply.js'
import { crash } from './router.js'
import type { HttpExchange, HttpRequest } from '../engines/engine.js'
import type { RouteCounters } from './counters.js'
import type { RouteHandler, RouteTable } from './router.js'
import type { DataPort, DataQuestion } from './status-port.js'

/** The larger of the two bodies, a whole set. */
const LIMITS_BOUNDS = { partsMax: limitSetPartsMax(TELEMETRY), bytesMax: LIMIT_SET_BYTES_MAX }
/** Unicode characters. */
const CHANGED_BY_MAX = 64
const UNNAMED = 'http'
/** Before the name of a token: nobody can claim that in X-Changed-By. */
const BY_TOKEN = 'token: '

/** @param stream answers GET /anomalies/stream */
export function createDataRoutes (port: DataPort, stream: RouteHandler): RouteTable {
  return {
    '/limits': {
      name: 'limits',
      methods: {
        GET: asking(port, () => ({ kind: 'limits' })),
        PUT: changing(port, (value, ifMatch, changedBy) => ({ kind: 'replace-limits', value, ifMatch, changedBy }))
      }
    },
    '/limits/history': { name: 'limits', methods: { GET: asking(port, ({ query }) => ({ kind: 'limits-history', query })) } },
    '/limits/{metric}': {
      name: 'limits',
      methods: { PATCH: changing(port, (value, ifMatch, changedBy, metric) => ({ kind: 'patch-limits', metric, value, ifMatch, changedBy })) }
    },
    '/anomalies': { name: 'anomalies', methods: { GET: asking(port, ({ query }) => ({ kind: 'anomalies', query })) } },
    '/anomalies/stream': { name: 'stream', methods: { GET: stream } }
  }
}

function asking (port: DataPort, questionOf: (request: HttpRequest) => DataQuestion): RouteHandler {
  return (request, exchange, counters) => ask(port, questionOf(request), exchange, counters)
}

function ask (port: DataPort, question: DataQuestion, exchange: HttpExchange, counters: RouteCounters): void {
  port.ask(question).then(
    (answer) => replyAnswer(exchange, counters, answer),
    (error: unknown) => crash(exchange, counters, error))
}

function changing (port: DataPort, questionOf: (value: unknown, ifMatch: string, changedBy: string, parameter: string) => DataQuestion): RouteHandler {
  return (request, exchange, counters, parameter, caller) => {
    const ifMatch = request.header('if-match')
    const changedBy = caller === null ? readChangedBy(request.header('x-changed-by')) : BY_TOKEN + caller.name
    exchange.readBody(
      LIMITS_BOUNDS.bytesMax,
      (body) => {
        const parsed = parseJsonText(body, LIMITS_BOUNDS)
        if (parsed.fault === null) ask(port, questionOf(parsed.value, ifMatch, changedBy, parameter), exchange, counters)
        else replyError(exchange, counters, 'invalid_json', { message: `The body ${parsed.fault}.` })
      },
      (failure) => {
        if (failure === 'aborted') counters.aborted++
        else replyError(exchange, counters, failure, failure === 'body_too_large' ? { message: `The body is larger than ${LIMITS_BOUNDS.bytesMax} bytes.` } : {})
      })
  }
}

/** Who changes the limits, as far as they say so: for the history. Control characters and what is no character become `?`. */
function readChangedBy (header: string): string {
  const visible = headerText(header).replaceAll(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffd]/gu, '?').trim()
  const name = Array.from(visible).slice(0, CHANGED_BY_MAX).join('')
  return name === '' ? UNNAMED : `${UNNAMED}: ${name}`
}
