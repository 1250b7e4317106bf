/** Every endpoint, by path and method, as in the table of routes; a test compares the two. */
import {
  QUERY_ERRORS, header, inPath, integer, json, listQuery, query, rows, text, timeQuery, type Operation
} from './operations.js'
import { ref, type Schema } from './schemas.js'
import { TELEMETRY } from '../../../../protocol/catalogue.js'
import { LIMIT_STATES } from '../../../limits/limit-states.js'
import { SEVERITIES } from '../../../limits/limit-set.js'
import {
  POINTS, POINTS_MAX, POINTS_MIN, SATELLITES_COUNT, SATELLITES_COUNT_MAX
} from '../query/requests.js'

export type Operations = Readonly<Record<string, Readonly<Record<string, Operation>>>>

const SATELLITE = inPath('id', 'Id of a satellite, percent-encoded.')
const satelliteQuery = (required: boolean): Schema => (
  query('satellite', { type: 'string' }, 'Id of a satellite.', required))
const METRICS = listQuery('metrics', 'Names or aliases; if absent, all that are not retired.')
const STREAM = query('stream', { type: 'string', default: TELEMETRY }, 'A stream of the catalogue.')
const STREAM_IN_PATH = inPath('stream', `A stream of the catalogue, such as ${TELEMETRY}.`)
const HISTORY_PARAMETERS = [
  satelliteQuery(true),
  query('metric', { type: 'string' }, 'Name or alias of a metric.', true),
  STREAM,
  timeQuery('start', 'Inclusive.'),
  timeQuery('end', '')
]
const CHANGED_BY = header('X-Changed-By', 'Who makes the change, for the history; a token gives its own name.')
const PAGE_CURSOR = query('cursor', { type: 'string' }, '`next` of the previous page.')
const IF_MATCH = 'The ETag of GET /limits on which the change is based, or `*`.'
const ACK = query('ack', { enum: ['received', 'spooled', 'replicated', 'committed'], default: 'spooled' },
  'When to answer: points are in memory, safe on disk, in the replicated log (if the server has one; there spooled ' +
  'means the same), or in the database.')
const POINT_ERRORS = [
  'invalid_json', 'invalid_msgpack', 'invalid_point', 'invalid_encoding', 'invalid_query', 'satellite_forbidden',
  'too_many_satellites', 'unsupported_media_type', 'unsupported_encoding', 'too_busy', 'overloaded', 'spool_full',
  'spool_failed', 'log_unavailable', 'log_unanswered', 'outcome_unknown', 'shutting_down'
] as const

const onePoint: Operation = {
  id: 'sendPoint',
  tag: 'points',
  summary: 'Sends one point.',
  role: 'ingest',
  parameters: [ACK, header('Content-Encoding', 'gzip')],
  body: { ...json(ref('Point')), ...text('application/msgpack', 'A map, or a frame of one point.') },
  answers: { 202: { description: 'Accepted; `ack` says how safely.', content: json(ref('AcceptedPoint')) } },
  errors: POINT_ERRORS
}

const manyPoints: Operation = {
  id: 'sendPoints',
  tag: 'points',
  summary: 'Sends many points; all of them are accepted, or none.',
  role: 'ingest',
  parameters: [ACK, header('Content-Encoding', 'gzip')],
  body: {
    ...json(ref('Points')),
    ...text('application/x-ndjson', 'One point per line.'),
    ...text('application/msgpack', 'An array of maps, or a frame.')
  },
  answers: { 202: { description: 'Accepted; `ack` says how safely.', content: json(ref('AcceptedPoints')) } },
  errors: POINT_ERRORS
}

/** The same for any stream. */
function ofStream (operation: Operation, id: string, summary: string, body: Schema): Operation {
  return {
    ...operation,
    id,
    summary,
    parameters: [STREAM_IN_PATH, ...operation.parameters ?? []],
    body: { ...operation.body, ...json(body) },
    errors: [...operation.errors ?? [], 'not_found']
  }
}

const points: Operations = {
  '/telemetry': { POST: onePoint },
  '/telemetry/batch': { POST: manyPoints },
  '/telemetry/{stream}': {
    POST: ofStream(onePoint, 'sendStreamPoint', 'Sends one point of a stream.', ref('StreamPoint'))
  },
  '/telemetry/{stream}/batch': {
    POST: ofStream(
      manyPoints, 'sendStreamPoints', 'Sends many points of a stream; all of them are accepted, or none.',
      ref('StreamPoints'))
  }
}

const telemetry: Operations = {
  '/satellites': {
    GET: {
      id: 'listSatellites',
      tag: 'telemetry',
      summary: 'A page of satellites with the time of their last point and their state by limits, by id.',
      role: 'read',
      parameters: [
        query('match', { type: 'string', maxLength: 64 }, 'Part of an id, or a pattern with `*`; ignores case.'),
        query('stale', { type: 'string' }, 'A duration such as `5m`: only satellites whose last point is older.'),
        query('limit', integer(1, SATELLITES_COUNT_MAX, SATELLITES_COUNT), ''),
        PAGE_CURSOR
      ],
      answers: { 200: { description: `States: ${LIMIT_STATES.join(', ')}.`, content: rows(ref('Satellites')) } },
      errors: QUERY_ERRORS
    }
  },
  '/satellites/{id}': {
    GET: {
      id: 'getSatellite',
      tag: 'telemetry',
      summary: 'The last values of a satellite with their units, limits and states.',
      role: 'read',
      parameters: [SATELLITE, METRICS],
      answers: { 200: { description: '', content: rows(ref('Satellite')) } },
      errors: [...QUERY_ERRORS, 'not_found']
    }
  },
  '/satellites/{id}/{stream}': {
    GET: {
      id: 'getSeries',
      tag: 'telemetry',
      summary: 'The past of a satellite: its points if they are few, otherwise buckets with minima and maxima.',
      description: 'Never more than `points` entries, and `kind` says which. Empty buckets are left out.',
      role: 'read',
      parameters: [
        SATELLITE, STREAM_IN_PATH, METRICS,
        timeQuery('from', 'Inclusive; 15 minutes before `to` if absent.'),
        timeQuery('to', 'Exclusive; now if absent.'),
        query('points', integer(POINTS_MIN, POINTS_MAX, POINTS), 'Times the number of metrics: at most 100,000.')
      ],
      answers: { 200: { description: '', content: rows(ref('Series')) } },
      errors: [...QUERY_ERRORS, 'not_found']
    }
  },
  '/query/latest': {
    GET: {
      id: 'queryLatest',
      tag: 'telemetry',
      summary: 'The newest values of a metric, oldest first: the strategy `latest` of Open MCT.',
      role: 'read',
      parameters: [
        ...HISTORY_PARAMETERS, query('size', integer(1, POINTS_MAX, 1), 'Maximum number of values.')
      ],
      answers: { 200: { description: '', content: json(ref('History')) } },
      errors: QUERY_ERRORS
    }
  },
  '/query/minmax': {
    GET: {
      id: 'queryMinmax',
      tag: 'telemetry',
      summary: 'Minima and maxima of a metric, oldest first: the strategy `minmax` of Open MCT.',
      description: 'All values if there are at most `size` points; otherwise two for each bucket: its minimum, at ' +
        'its beginning, and its maximum, in its middle.',
      role: 'read',
      parameters: [
        ...HISTORY_PARAMETERS, query('size', integer(POINTS_MIN, POINTS_MAX, POINTS), 'Maximum number of buckets.')
      ],
      answers: { 200: { description: '', content: json(ref('History')) } },
      errors: QUERY_ERRORS
    }
  },
  '/export': {
    GET: {
      id: 'exportPoints',
      tag: 'telemetry',
      summary: 'Any number of points, ordered by time and id. `Accept-Encoding: gzip` compresses them.',
      description: 'If the connection is closed before the last chunk, the export is incomplete.',
      role: 'read',
      parameters: [
        STREAM,
        timeQuery('from', 'Inclusive.', true), timeQuery('to', 'Exclusive; now if absent.'),
        satelliteQuery(false), METRICS
      ],
      answers: {
        200: {
          description: '',
          content: {
            ...text('text/csv', 'A header, then time, satellite_id and the metrics.'),
            ...text('application/x-ndjson', 'One object per line.')
          }
        }
      },
      errors: QUERY_ERRORS
    }
  }
}

const limits: Operations = {
  '/limits': {
    GET: {
      id: 'getLimits',
      tag: 'limits',
      summary: 'The limits in force, with the version that each worker applies.',
      role: 'read',
      answers: { 200: { description: 'The ETag is the version.', content: json(ref('Limits')) } },
      errors: ['too_busy']
    },
    PUT: {
      id: 'replaceLimits',
      tag: 'limits',
      summary: 'Replaces the whole set.',
      role: 'operate',
      parameters: [header('If-Match', IF_MATCH, true), CHANGED_BY],
      body: json(ref('LimitSet')),
      answers: { 200: { description: 'The new limits.', content: json(ref('Limits')) } },
      errors: ['invalid_json', 'invalid_limits', 'precondition_required', 'limits_changed', 'database_unavailable']
    }
  },
  '/limits/{metric}': {
    PATCH: {
      id: 'patchLimits',
      tag: 'limits',
      summary: 'Changes the default limits of one metric.',
      role: 'operate',
      parameters: [inPath('metric', 'Name of a metric.'), header('If-Match', IF_MATCH), CHANGED_BY],
      body: json(ref('MetricLimitsPatch')),
      answers: { 200: { description: 'The new limits.', content: json(ref('Limits')) } },
      errors: ['invalid_json', 'invalid_limits', 'limits_changed', 'not_found', 'database_unavailable']
    }
  },
  '/limits/history': {
    GET: {
      id: 'getLimitsHistory',
      tag: 'limits',
      summary: 'The latest sets, newest first, with who changed them and when.',
      role: 'read',
      parameters: [
        query('limit', integer(1, 100, 20), ''),
        query('before', { type: 'integer', minimum: 1 }, 'Only versions before this one.')
      ],
      answers: { 200: { description: '', content: json(ref('LimitsHistory')) } },
      errors: QUERY_ERRORS
    }
  }
}

const anomalies: Operations = {
  '/anomalies': {
    GET: {
      id: 'listAnomalies',
      tag: 'anomalies',
      summary: 'A page of anomalies, newest first.',
      role: 'read',
      parameters: [
        timeQuery('since', 'Inclusive.'), timeQuery('until', 'Exclusive.'), satelliteQuery(false),
        query('metric', { type: 'string' }, 'Name of a metric.'), query('severity', { enum: SEVERITIES }, ''),
        query('limit', integer(1, 10_000, 100), ''), PAGE_CURSOR
      ],
      answers: { 200: { description: '', content: json(ref('Anomalies')) } },
      errors: QUERY_ERRORS
    }
  },
  '/anomalies/stream': {
    GET: {
      id: 'streamAnomalies',
      tag: 'anomalies',
      summary: 'Anomalies as they are found, as Server-Sent Events.',
      description: 'Events `anomaly` (data: an Anomaly) and `missed` (data: `{"count": n}`, null if unknown).',
      role: 'read',
      parameters: [header('Last-Event-ID', 'Continues where an earlier connection ended.')],
      answers: { 200: { description: 'Endless.', content: text('text/event-stream', 'Server-Sent Events.') } },
      errors: ['too_many_streams']
    }
  },
  '/feed': {
    GET: {
      id: 'followFeed',
      tag: 'telemetry',
      summary: 'What happens now, four times a second, as Server-Sent Events.',
      description: 'docs/HTTP.md describes the events.',
      role: 'read',
      parameters: [
        listQuery('parts', 'Any of `fleet`, `satellites` and `anomalies`.'), satelliteQuery(false), METRICS,
        header('Last-Event-ID', 'Continues the anomalies where an earlier connection ended.')
      ],
      answers: { 200: { description: 'Endless.', content: text('text/event-stream', 'Server-Sent Events.') } },
      errors: ['invalid_query', 'too_many_streams']
    }
  }
}

const server: Operations = {
  '/': {
    GET: {
      id: 'getIndex',
      tag: 'server',
      summary: 'Lists the endpoints; for browsers (`Accept: text/html`), the live page, which needs no token.',
      role: 'read',
      answers: {
        200: { description: '', content: { ...json(ref('Index')), ...text('text/html', 'The live page.') } }
      }
    }
  },
  '/live': {
    GET: {
      id: 'getLive',
      tag: 'server',
      summary: 'Liveness: 200 while the process responds.',
      role: null,
      answers: { 200: { description: '', content: json(ref('Live')) } }
    }
  },
  '/ready': {
    GET: {
      id: 'getReady',
      tag: 'server',
      summary: 'Readiness: 200 while a point would be accepted.',
      role: null,
      answers: {
        200: { description: 'Points would be accepted.', content: json(ref('Ready')) },
        503: { description: 'Points would be refused.', content: json(ref('Ready')) }
      }
    }
  },
  '/health': {
    GET: {
      id: 'getHealth',
      tag: 'server',
      summary: 'Whether points are accepted, and everything that is wrong.',
      role: null,
      answers: {
        200: { description: '`healthy` or `degraded`.', content: json(ref('Health')) },
        503: {
          description: '`unhealthy`, or the primary process does not answer.',
          content: json({ anyOf: [ref('Health'), ref('Error')] })
        }
      }
    }
  },
  '/metrics': {
    GET: {
      id: 'getMetrics',
      tag: 'server',
      summary: 'Prometheus metrics of all workers.',
      role: 'read',
      answers: { 200: { description: '', content: text('text/plain', 'The text format of Prometheus.') } }
    }
  },
  '/udp/senders': {
    GET: {
      id: 'listSenders',
      tag: 'server',
      summary: 'UDP senders with their received, missing and duplicate packets.',
      role: 'read',
      parameters: [
        query('offset', integer(0, 1_000_000, 0), ''), query('limit', integer(1, 1_000, 100), ''),
        query('sender', { type: 'string' }, 'Only this one.')
      ],
      answers: { 200: { description: '', content: json(ref('Senders')) } },
      errors: ['invalid_query', 'too_busy']
    }
  },
  '/catalogue': {
    GET: {
      id: 'getCatalogue',
      tag: 'server',
      summary: 'The catalogue of metrics in force; for tokens with the role read or ingest.',
      role: 'read',
      answers: { 200: { description: '', content: json(ref('Catalogue')) } }
    }
  },
  '/openapi.json': {
    GET: {
      id: 'getOpenApi',
      tag: 'server',
      summary: 'This document.',
      role: 'read',
      answers: { 200: { description: '', content: json({ type: 'object' }) } }
    }
  }
}

export const OPERATIONS: Operations = { ...points, ...telemetry, ...limits, ...anomalies, ...server }
