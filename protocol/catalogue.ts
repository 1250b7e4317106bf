/**
 * The catalogue: which streams there are, which metrics their points have, and how each is shown, judged and simulated.
 * Tables, COPY rows, validation, limits, dashboards and the simulator derive from it.
 *
 * A stream is what a sender sends together: a packet, or the telemetry of a subsystem. It has a table of its own. Every
 * catalogue has the stream `telemetry`, which is meant wherever a name of a stream may be left out.
 *
 * A stream is known for good by its id, and a metric by its id within its stream. Ids of metrics give the order of the
 * columns and of the rows in packets, so a new metric has an id above all others, and one that nobody sends any more is
 * retired, never removed. The same holds for streams.
 */
import { PointSchema } from './schema.js'
import { BoundedType, type ValidRange } from './valid-range.js'
import { ValueType, type MetricType, type State } from './value-types.js'

/** Which side of a limit is out of order: below a low limit, above a high one. */
export type LimitSide = 'low' | 'high'
/** How bad a broken limit is. */
export type Severity = 'warning' | 'critical'
export type SideLimits = { readonly [S in Severity]?: number }
/** Values that are out of order: names of states, or the values of a bool. */
export type StateLimits = { readonly [S in Severity]?: ReadonlyArray<string | boolean> }
/** Which changes of a value are out of order; of states and bools `any` alone. */
export const CHANGE_DIRECTIONS = ['any', 'increase', 'decrease'] as const
export type ChangeDirection = typeof CHANGE_DIRECTIONS[number]
export type ChangeLimit = { readonly [S in Severity]?: ChangeDirection }
/** Numbers have sides, states and bools `states`, all may have `change`. A metric without limits is not checked. */
export type MetricLimits = { readonly [S in LimitSide]?: SideLimits } & {
  readonly states?: StateLimits
  readonly change?: ChangeLimit
}

/** How the simulator moves numbers; all but `constant` keep between the two values of `between`. */
export const NUMBER_SIMULATIONS = ['charge', 'fill', 'signal', 'walk', 'counter', 'constant'] as const
export type NumberSimulationKind = typeof NUMBER_SIMULATIONS[number]

/** States and bools: one of the values that break no limit at a time; simulated anomalies are the others. */
export interface StateSimulation {
  readonly kind: 'states'
}

export interface NumberSimulation {
  /**
   * charge: rises in sunlight and drains in eclipse; fill: fills up and empties during passes; signal: rises and falls
   * with elevation during passes; walk: random steps; counter: rises now and then, and starts over; constant: the
   * middle of `between`.
   */
  readonly kind: NumberSimulationKind
  readonly between: readonly [low: number, high: number]
  /** Values that break a limit, for simulated anomalies; null: the metric never breaks one. */
  readonly beyond: readonly [low: number, high: number] | null
}

export type Simulation = NumberSimulation | StateSimulation

export interface Metric {
  /** 1 to ID_MAX, never used for another metric. */
  readonly id: number
  /** Field of a point and column of the table. */
  readonly name: string
  /** Never changes. */
  readonly type: MetricType
  /** Of a state, by value; otherwise empty. */
  readonly states: readonly State[]
  /** Earlier names, which senders may still use. */
  readonly aliases: readonly string[]
  /** Short title, for people. */
  readonly title: string
  /** '' for a number without a unit. */
  readonly unit: string
  /** A sentence or two, for people; '' for none. */
  readonly description: string
  /** Smallest step of the sensor, in `unit`; null: not known. */
  readonly resolution: number | null
  /** Of a number: values outside cannot be true; null: all can. */
  readonly range: ValidRange | null
  /** Limits that hold until somebody sets others in the database. */
  readonly limits: MetricLimits
  readonly simulation: Simulation
  /** Nobody sends it any more: stored if it comes, but not shown. */
  readonly retired: boolean
}

/** Whether there is a limit at all. */
export function hasLimits ({ low, high, states, change }: MetricLimits): boolean {
  return low !== undefined || high !== undefined || states !== undefined || change !== undefined
}

/** Highest id of a metric. */
export const ID_MAX = 32_767

/** A metric, and how its values are read and shown. */
export interface TypedMetric {
  readonly metric: Metric
  readonly type: ValueType
}

/** The stream that every catalogue has, and its id. */
export const TELEMETRY = 'telemetry'
export const TELEMETRY_ID = 1
/** Streams of a catalogue. */
export const STREAMS_MAX = 32
/** Of the name of a stream: tables, functions and indexes append to it, and PostgreSQL truncates names to 63 bytes. */
export const STREAM_NAME_BYTES_MAX = 24
/** Highest id of a stream: frames of the spool have a byte for it. */
export const STREAM_ID_MAX = 255

/** What holds for a stream instead of the server's settings, in milliseconds; null: the setting holds. */
export interface StreamStorage {
  /** Instead of RETENTION: age at which points and their rollups are dropped. */
  readonly retentionMs: number | null
  /** Instead of CHUNK_INTERVAL. */
  readonly chunkIntervalMs: number | null
  /** Instead of COMPRESS_AFTER. */
  readonly compressAfterMs: number | null
}

/** The settings hold. */
export const STORED_AS_SET: StreamStorage = { retentionMs: null, chunkIntervalMs: null, compressAfterMs: null }

/** What a stream is made from; plain data, so it can be sent to another process. */
export interface StreamDefinition {
  /** 1 to STREAM_ID_MAX, never used for another stream. */
  readonly id: number
  /** In paths, and of the table. */
  readonly name: string
  /** Short title, for people. */
  readonly title: string
  /** Usual time between two points of a satellite, in milliseconds; null: not known. */
  readonly intervalMs: number | null
  /** Default: STORED_AS_SET. */
  readonly storage?: StreamStorage
  readonly metrics: readonly Metric[]
  /** Nobody sends it any more: stored if it comes, but not shown. */
  readonly retired: boolean
}

export class Stream implements StreamDefinition {
  readonly id: number
  readonly name: string
  readonly title: string
  readonly intervalMs: number | null
  readonly storage: StreamStorage
  readonly retired: boolean
  /** By id, retired ones too: the order of columns. */
  readonly metrics: readonly Metric[]
  /** Those that are shown and simulated. */
  readonly live: readonly Metric[]
  readonly schema: PointSchema
  /** As `metrics`. */
  readonly typed: readonly TypedMetric[]

  /** @param definition with the rules of lib/catalogue fulfilled; throws a RangeError where names clash */
  constructor ({ id, name, title, intervalMs, storage = STORED_AS_SET, retired, metrics }: StreamDefinition) {
    this.id = id
    this.name = name
    this.title = title
    this.intervalMs = intervalMs
    this.storage = storage
    this.retired = retired
    this.metrics = metrics.toSorted((a, b) => a.id - b.id)
    this.live = this.metrics.filter(({ retired }) => !retired)
    const types = this.metrics.map(({ type, states, range }) => (
      range?.outside === 'refuse' ? new BoundedType(type, range) : new ValueType(type, states)))
    this.schema = new PointSchema(
      this.metrics.map(({ name }) => name),
      this.metrics.flatMap(({ name, aliases }) => aliases.map((alias) => ({ name: alias, metric: name }))),
      types
    )
    this.typed = this.metrics.map((metric, index) => ({ metric, type: types[index] as ValueType }))
  }

  /** See qualified(). */
  qualify (metric: string): string {
    return qualified(this.name, metric)
  }
}

/** The name of a metric wherever those of several streams stand together: limits, anomalies. */
export function qualified (stream: string, metric: string): string {
  return stream === TELEMETRY ? metric : `${stream}.${metric}`
}

export class Catalogue {
  /** By id, retired ones too. */
  readonly streams: readonly Stream[]
  /** Those that are shown and simulated. */
  readonly live: readonly Stream[]
  readonly telemetry: Stream

  /** @param definitions one of them is `telemetry`; throws a RangeError otherwise */
  constructor (definitions: readonly StreamDefinition[]) {
    this.streams = definitions.map((each) => new Stream(each)).sort((a, b) => a.id - b.id)
    this.live = this.streams.filter(({ retired }) => !retired)
    const telemetry = this.streams.find(({ name }) => name === TELEMETRY)
    if (telemetry === undefined) throw new RangeError(`a catalogue has the stream ${TELEMETRY}`)
    this.telemetry = telemetry
  }

  stream (name: string): Stream | null {
    return this.streams.find((each) => each.name === name) ?? null
  }

  /** The metrics of all streams, as limits and anomalies name them, with their types. */
  get limitable (): { readonly metrics: readonly string[], readonly types: readonly ValueType[] } {
    return {
      metrics: this.streams.flatMap((stream) => stream.schema.metrics.map((name) => stream.qualify(name))),
      types: this.streams.flatMap(({ schema }) => schema.types)
    }
  }

  /** To be sent to another process, which makes the same catalogue from it. */
  get definitions (): StreamDefinition[] {
    return this.streams.map(({ id, name, title, intervalMs, storage, retired, metrics }) => (
      { id, name, title, intervalMs, storage, retired, metrics }))
  }
}

/** A catalogue of the one stream that all have. */
export function telemetryOnly (metrics: readonly Metric[]): Catalogue {
  return new Catalogue([
    { id: TELEMETRY_ID, name: TELEMETRY, title: 'Telemetry', intervalMs: null, retired: false, metrics }
  ])
}

/** The metrics of a server without a catalogue file. */
export const BUILT_IN = telemetryOnly([
  {
    id: 1,
    name: 'battery_charge_percent',
    type: 'float',
    states: [],
    aliases: [],
    title: 'Battery charge',
    unit: '%',
    description: '',
    resolution: 0.25,
    range: null,
    limits: { low: { critical: 10 } },
    simulation: { kind: 'charge', between: [48, 98], beyond: [0.5, 9.5] },
    retired: false
  },
  {
    id: 2,
    name: 'storage_usage_mb',
    type: 'float',
    states: [],
    aliases: [],
    title: 'Storage in use',
    unit: 'MB',
    description: '',
    resolution: 1,
    range: null,
    limits: { high: { critical: 95_000 } },
    simulation: { kind: 'fill', between: [400, 84_000], beyond: [95_500, 100_000] },
    retired: false
  },
  {
    id: 3,
    name: 'signal_strength_dbm',
    type: 'float',
    states: [],
    aliases: [],
    title: 'Signal strength',
    unit: 'dBm',
    description: '',
    resolution: 0.5,
    range: null,
    limits: { low: { critical: -100 } },
    simulation: { kind: 'signal', between: [-95, -54], beyond: [-120, -100.5] },
    retired: false
  }
])

/** Variables of the environment that set the first critical limit of a built-in metric. */
export const THRESHOLDS = [
  { metric: 'battery_charge_percent', side: 'low', env: 'ANOMALY_THRESHOLD_BATTERY' },
  { metric: 'storage_usage_mb', side: 'high', env: 'ANOMALY_THRESHOLD_STORAGE' },
  { metric: 'signal_strength_dbm', side: 'low', env: 'ANOMALY_THRESHOLD_SIGNAL' }
] as const satisfies ReadonlyArray<{ readonly metric: string, readonly side: LimitSide, readonly env: string }>
