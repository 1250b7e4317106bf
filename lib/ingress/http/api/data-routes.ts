/** Routes for limits and anomalies: the worker reads the request, the primary answers it. */
import { parseJsonText, type TextBounds } from '../../../../protocol/json/json-exact.js'
import type { LimitableMetrics } from '../../../limits/limit-set.js'
import { LIMIT_SET_BYTES_MAX, limitSetPartsMax } from '../../../limits/validate.js'
import { headerText } from '../engines/header-text.js'
import type { HttpRequest } from '../engines/engine.js'
import type { RouteHandler, RouteTable } from './router.js'
import type { DataPort, DataQuestion, LimitsChange } from './status-port.js'

const TOO_LARGE = { message: `The body is larger than ${LIMIT_SET_BYTES_MAX} bytes.` }
/** In Unicode characters. */
const CHANGED_BY_MAX = 64
const UNNAMED = 'http'
/** Prefix of a token's name, which nobody can claim with X-Changed-By. */
const BY_TOKEN = 'token: '

/** @param stream answers GET /anomalies/stream */
export function createDataRoutes (port: DataPort, stream: RouteHandler, metrics: LimitableMetrics): RouteTable {
  // Those of a whole set, the larger of the two bodies.
  const bounds = { partsMax: limitSetPartsMax(metrics), bytesMax: LIMIT_SET_BYTES_MAX }
  return {
    '/limits': {
      name: 'limits',
      methods: {
        GET: asking(port, () => ({ kind: 'limits' })),
        PUT: changing(port, bounds, (change) => ({ kind: 'replace-limits', ...change }))
      }
    },
    '/limits/history': {
      name: 'limits',
      methods: { GET: asking(port, ({ query }) => ({ kind: 'limits-history', query })) }
    },
    '/limits/{metric}': {
      name: 'limits',
      methods: { PATCH: changing(port, bounds, (change, metric) => ({ kind: 'patch-limits', metric, ...change })) }
    },
    '/anomalies': {
      name: 'anomalies',
      methods: { GET: asking(port, ({ query }) => ({ kind: 'anomalies', query })) }
    },
    '/anomalies/stream': { name: 'stream', methods: { GET: stream } }
  }
}

function asking (port: DataPort, questionOf: (request: HttpRequest) => DataQuestion): RouteHandler {
  return (call) => call.answerWith(port.ask(questionOf(call.request)))
}

function changing (
  port: DataPort, bounds: TextBounds, questionOf: (change: LimitsChange, metric: string) => DataQuestion
): RouteHandler {
  return (call) => {
    const { request, caller } = call
    const ifMatch = request.header('if-match')
    const changedBy = caller === null ? readChangedBy(request.header('x-changed-by')) : BY_TOKEN + caller.name
    call.readBody(bounds.bytesMax, (body) => {
      const parsed = parseJsonText(body, bounds)
      if (parsed.fault !== null) {
        call.fail('invalid_json', { message: `The body ${parsed.fault}.` })
        return
      }
      const change = { value: parsed.value, ifMatch, changedBy }
      call.answerWith(port.ask(questionOf(change, call.parameters[0] ?? '')))
    }, TOO_LARGE)
  }
}

/** The name to put into the history of limits. Control characters and undecodable bytes become `?`. */
function readChangedBy (header: string): string {
  const visible = headerText(header).replaceAll(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\ufffd]/gu, '?').trim()
  const name = Array.from(visible).slice(0, CHANGED_BY_MAX).join('')
  return name === '' ? UNNAMED : `${UNNAMED}: ${name}`
}
