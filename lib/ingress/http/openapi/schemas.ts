/**
 * JSON schemas (2020-12) of everything that goes over HTTP, by name. Objects are open to more fields: a client that
 * refuses fields it does not know breaks when some are added.
 */
import { CHANGE_DIRECTIONS, type Catalogue, type Metric, type Stream } from '../../../../protocol/catalogue.js'
import { SATELLITE_ID_CHARACTERS_MAX } from '../../../../protocol/satellites.js'
import type { ValidRange } from '../../../../protocol/valid-range.js'
import { METRIC_TYPES } from '../../../../protocol/value-types.js'
import { ERRORS } from '../../../support/errors.js'
import { LIMIT_STATES } from '../../../limits/limit-states.js'
import { ANOMALY_SIDES, LIMIT_SIDES, SEVERITIES } from '../../../limits/limit-set.js'
import { POINTS_MAX } from '../../../../protocol/columns.js'

export type Schema = Readonly<Record<string, unknown>>

export const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` })
export const array = (items: Schema): Schema => ({ type: 'array', items })
const string = (description: string, rest: Schema = {}): Schema => ({ type: 'string', description, ...rest })
const number = (description: string, rest: Schema = {}): Schema => ({ type: 'number', description, ...rest })
const count = (description: string): Schema => ({ type: 'integer', minimum: 0, description })
const time = (description: string): Schema => string(description, { format: 'date-time' })
const nullable = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] })
const map = (values: Schema, description = ''): Schema => (
  { type: 'object', additionalProperties: values, description })

/** All fields are required, except for the optional ones. */
export function object (properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', properties, required }
}

/** Integers beyond it are rejected. */
const INT_MAX = Number.MAX_SAFE_INTEGER
const ID: Schema = { type: 'string', minLength: 1, maxLength: SATELLITE_ID_CHARACTERS_MAX }
const STATE: Schema = {
  enum: LIMIT_STATES, description: 'By the limits in force; unchecked: no value has a limit. The worst of several.'
}
const NUMBERS = array({ type: ['number', 'null'] })
const VALUE: Schema = {
  type: ['number', 'boolean', 'string', 'null'], description: 'As sent: a bool as true or false, a state by its name.'
}
const VALUES = array(VALUE)
const TYPE: Schema = { enum: METRIC_TYPES }
const STATE_VALUE: Schema = { type: ['string', 'boolean'], description: 'A state by its name, or the value of a bool.' }
const ACCEPTED = string('spooled, replicated: ack=committed was asked for, and the database did not store the points ' +
  'in time', {
  enum: ['accepted', 'spooled', 'replicated']
})
const ACK: Schema = { const: 'replicated', description: 'The points are in a replicated log.' }

export function createSchemas (catalogue: Catalogue): Readonly<Record<string, Schema>> {
  const others = catalogue.streams.filter((stream) => stream !== catalogue.telemetry)
  return {
    Error: object({
      error: object({
        code: { enum: Object.keys(ERRORS), description: 'Stable, for programs to act on.' },
        message: string('What happened and what to do, for people.'),
        details: array(object({
          index: count('Position of the point in the body.'), field: string('The field at fault.'), message: string('')
        }, ['index', 'field']))
      }, ['details'])
    }),
    Point: pointSchema(catalogue.telemetry),
    Points: { type: 'array', items: ref('Point'), maxItems: POINTS_MAX },
    ...Object.fromEntries(others.map((stream) => [pointName(stream), pointSchema(stream)])),
    StreamPoint: { anyOf: [ref('Point'), ...others.map((stream) => ref(pointName(stream)))] },
    StreamPoints: { type: 'array', items: ref('StreamPoint'), maxItems: POINTS_MAX },
    AcceptedPoint: object({ status: ACCEPTED, satellite_id: ID, ack: ACK }, ['ack']),
    AcceptedPoints: object({ status: ACCEPTED, count: count('Points accepted.'), ack: ACK }, ['ack']),
    Index: object({ name: { const: 'OrbitStream' }, endpoints: array(string('Method and path.')) }),
    Live: object({ status: { const: 'live' } }),
    Ready: object({ status: string('`ready`, or the error code that points would be refused with.') }),
    ...healthSchemas(),
    ...limitSchemas(),
    ...anomalySchemas(),
    ...satelliteSchemas(),
    ...senderSchemas(),
    ...catalogueSchemas()
  }
}

/** Of the schema of a stream's points. */
function pointName ({ name }: Stream): string {
  return `Point_${name}`
}

function pointSchema ({ metrics }: Stream): Schema {
  const value = (metric: Metric, isAlias: boolean): Schema => {
    const { title, unit, range, retired } = metric
    return {
      ...valueSchema(metric),
      ...range?.outside === 'refuse' ? endsOf(range) : {},
      description: (unit === '' ? title : `${title} (${unit})`) + (range === null ? '' : rangeText(range)),
      ...retired || isAlias ? { deprecated: true } : {}
    }
  }
  const fields = metrics.flatMap((metric) => [
    [metric.name, value(metric, false)] as const,
    ...metric.aliases.map((alias) => [alias, value(metric, true)] as const)
  ])
  const when = {
    type: ['string', 'number', 'null'],
    description: 'RFC 3339 with a zone, or milliseconds since 1970; without it, the time of receipt.'
  }
  const timestamp = { ...when, description: 'Another name for time.', deprecated: true }
  return {
    type: 'object',
    properties: { satellite_id: ID, time: when, timestamp, ...Object.fromEntries(fields) },
    required: ['satellite_id'],
    additionalProperties: false,
    description: 'At least one metric has a value.'
  }
}

/** What senders may write: numbers as in protocol/SPEC.md, bools also as 1 and 0, states also by number. */
function endsOf ({ min, max }: ValidRange): Schema {
  return { ...min === null ? {} : { minimum: min }, ...max === null ? {} : { maximum: max } }
}

function rangeText ({ min, max, outside }: ValidRange): string {
  const ends = `${min === null ? ' up' : ` from ${min}`}${max === null ? ' on' : ` to ${max}`}`
  const fate = { refuse: 'are refused', null: 'are stored as null', flag: 'are stored as anomalies' }[outside]
  return `. Valid${ends}; other values ${fate}.`
}

function valueSchema ({ type, states }: Metric): Schema {
  switch (type) {
    case 'int': return { type: ['integer', 'null'], minimum: -INT_MAX, maximum: INT_MAX }
    case 'float32': return { type: ['number', 'null'], format: 'float' }
    case 'bool': return { enum: [true, false, 1, 0, null] }
    case 'state': return { enum: [...states.flatMap(({ name, value }) => [name, value]), null] }
    case 'float': return { type: ['number', 'null'] }
  }
}

function healthSchemas (): Record<string, Schema> {
  const points = ['received', 'rejected', 'shed', 'accepted', 'recovered', 'replicated', 'committed', 'quarantined',
    'failed', 'lost', 'waiting']
  const worker = object({
    slot: count('Number of its slot; a worker that replaces another has another slot.'),
    pid: nullable(count('')),
    state: string('starting, ready, waiting (to be restarted), retiring or stopping.'),
    restarts: count(''),
    engine: string('uws, node or udp; empty before it serves.'),
    database: nullable(string('State of its drain.')),
    limits_version: nullable(count('')),
    waiting: count('Points that are not in the database yet.'),
    journal_bytes: count('')
  })
  const details = {
    timestamp: time(''),
    version: string(''),
    uptime_seconds: count(''),
    reasons: array(string('What is wrong, for people.')),
    database: object({
      kind: string('plain, timescale, or empty'), embedded: { type: 'boolean' }, state: { enum: ['up', 'down'] }
    }),
    acknowledged: string('What an acknowledgement guarantees, in words.'),
    http: nullable(object({
      name: { enum: ['uws', 'node'] },
      release: string(''),
      unsafe: array({ type: 'string' }),
      cannot: array({ type: 'string' }),
      advice: nullable({ type: 'string' })
    })),
    points: object(Object.fromEntries(points.map((name) => [name, count('')]))),
    rollups: nullable(object({
      waiting_minutes: nullable({ type: 'number' }),
      remaining_seconds: nullable({ type: 'number' }),
      failed_buckets: count(''),
      overdue_policies: array({ type: 'string' })
    })),
    limits_version: count(''),
    udp: map({}, 'Packets by outcome.'),
    workers: array(worker)
  }
  return {
    Health: {
      ...object({ status: { enum: ['healthy', 'degraded', 'unhealthy'] }, ...details }, Object.keys(details)),
      description: 'Without the role read, only the status.'
    }
  }
}

function limitSchemas (): Record<string, Schema> {
  const side = object({ warning: number(''), critical: number('') }, [...SEVERITIES])
  const direction = { enum: CHANGE_DIRECTIONS }
  const patch = (limit: Schema): Schema => (
    { type: ['object', 'null'], properties: Object.fromEntries(SEVERITIES.map((severity) => [severity, limit])) })
  const byMetric = map(ref('MetricLimits'), 'By metric.')
  const version = { version: count('Rises with each change.'), changed_at: time(''), changed_by: string('') }
  return {
    MetricLimits: {
      ...object({
        ...Object.fromEntries(LIMIT_SIDES.map((each) => [each, side])),
        states: object({ warning: array(STATE_VALUE), critical: array(STATE_VALUE) }, [...SEVERITIES]),
        change: object({ warning: direction, critical: direction }, [...SEVERITIES])
      }, [...LIMIT_SIDES, 'states', 'change']),
      description: 'A number below a low limit or above a high one is an anomaly; of states and bools, those listed. ' +
        'With `change`, so is a value that differs from the one before; of states and bools `any` alone.'
    },
    MetricLimitsPatch: {
      type: 'object',
      properties: {
        ...Object.fromEntries(LIMIT_SIDES.map((each) => [each, patch({ type: ['number', 'null'] })])),
        states: patch(nullable(array(STATE_VALUE))),
        change: patch({ enum: [...CHANGE_DIRECTIONS, null] })
      },
      description: 'Null removes a limit, a side, the states, or the limits on change.'
    },
    LimitSet: object({
      default: byMetric,
      overrides: map(byMetric, 'By satellite id or pattern, in which `*` matches any characters.')
    }, ['overrides']),
    Limits: object({
      ...version,
      limits: ref('LimitSet'),
      workers: array(object({ slot: count(''), version: nullable(count('Version that it applies.')) }))
    }),
    LimitsHistory: object({ history: array(object({ ...version, limits: ref('LimitSet') })) })
  }
}

function anomalySchemas (): Record<string, Schema> {
  return {
    Anomaly: object({
      time: nullable(time('')),
      satellite_id: ID,
      metric: string(''),
      value: number(''),
      limit: number('The limit that it broke, or the end of the valid range; of a change, the previous value.'),
      severity: { enum: SEVERITIES },
      side: {
        enum: ANOMALY_SIDES,
        description:
          'state: the value is the limit; both are its number. range_low, range_high: outside the valid range.'
      },
      limits_version: count('')
    }),
    Anomalies: object({ anomalies: array(ref('Anomaly')), next: nullable(string('Cursor of the next page.')) })
  }
}

function satelliteSchemas (): Record<string, Schema> {
  const last = { time: time('Of the last point.'), state: STATE }
  const metric = { title: string(''), unit: string('Empty for a number without a unit.'), type: TYPE }
  const byStream = (stream: Schema): Schema => map(stream, 'By stream: those where the satellite has a point.')
  return {
    Satellites: object({
      now: time('Of the server, for ages.'),
      total: count('Satellites on all pages.'),
      limits_version: count('Of the limits behind the states.'),
      satellites: array(object({ satellite_id: ID, state: STATE, streams: byStream(object(last)) })),
      next: nullable(string('Cursor of the next page.'))
    }),
    Satellite: object({
      satellite_id: ID,
      now: time('Of the server, for ages.'),
      state: STATE,
      limits_version: count(''),
      streams: byStream(object({
        ...last,
        metrics: map(object({
          ...metric,
          value: { ...VALUE, description: `${String(VALUE['description'])} Null: the last point has none.` },
          state: STATE,
          limits: ref('MetricLimits')
        }), 'By metric, in the order of the catalogue.')
      }))
    }),
    Series: { oneOf: [ref('RawSeries'), ref('BucketSeries')] },
    RawSeries: seriesSchema(
      'raw', string(''), { type: 'null' }, { type: 'null' }, object({ ...metric, values: VALUES })),
    BucketSeries: seriesSchema(
      'buckets', string(''), number('Width of a bucket.'),
      array(count('Points in the bucket.')), {
        ...object({
          ...metric, min: VALUES, max: VALUES, avg: NUMBERS, count: array(count('Values in the bucket.')), last: VALUES
        }, ['min', 'max', 'avg', 'count', 'last']),
        description: 'Numbers have min, max and avg, states and bools count and last.'
      }),
    History: array(object({
      timestamp: number('Milliseconds since 1970.'),
      value: number('A bool is 1 or 0, a state is its number.')
    }))
  }
}

function seriesSchema (kind: string, source: Schema, width: Schema, counts: Schema, metric: Schema): Schema {
  return object({
    satellite_id: ID,
    stream: string(''),
    from: time('Inclusive.'),
    to: time('Exclusive.'),
    kind: { const: kind },
    source: { ...source, description: 'The table or view that was read.' },
    bucket_ms: width,
    time_ms: array(number('Milliseconds since 1970: of the point, or of the beginning of the bucket.')),
    counts,
    metrics: map(metric, 'By metric, with a value for each time.')
  })
}

function senderSchemas (): Record<string, Schema> {
  return {
    Senders: object({
      total: count(''),
      offset: count(''),
      limit: count(''),
      senders: array(map({}, 'A sender with its received, missing and duplicate packets.'))
    })
  }
}

function catalogueSchemas (): Record<string, Schema> {
  const metric = object({
    id: { type: 'integer', minimum: 1 },
    type: TYPE,
    states: map({ type: 'integer' }, 'Of a state: numbers by name.'),
    title: string(''),
    unit: string(''),
    description: string(''),
    resolution: number('Smallest step of the sensor.'),
    limits: ref('MetricLimits'),
    simulate: map({}, 'How the simulator moves it.'),
    aliases: array({ type: 'string' }),
    retired: { type: 'boolean' }
  }, ['resolution', 'states'])
  return {
    Catalogue: object({
      catalogue: { const: 1 },
      streams: map(object({
        id: { type: 'integer', minimum: 1 },
        title: string(''),
        interval: string('Usual time between two points of a satellite, such as 10s.'),
        retired: { type: 'boolean' },
        metrics: map(metric, 'By name.')
      }, ['interval']), 'By stream.')
    })
  }
}
