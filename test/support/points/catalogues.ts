/** Catalogues of any size. */
import fc from 'fast-check'
import {
  Catalogue, NUMBER_SIMULATIONS, STREAMS_MAX, STREAM_ID_MAX, TELEMETRY, TELEMETRY_ID,
  type Metric, type MetricLimits, type NumberSimulation, type StreamDefinition
} from '../../../protocol/catalogue.js'
import { OUTSIDES, type ValidRange } from '../../../protocol/valid-range.js'
import { STATE_MAX, STATE_MIN, type MetricType, type State } from '../../../protocol/value-types.js'
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { RESERVED_NAMES, isReservedStream } from '../../../lib/catalogue/name-rules.js'
import { anyMetricNames, fewMetricNames } from './schemas.js'

/** A catalogue of metrics in YAML's short form: `a: { id: 1, unit: V }`. */
export function catalogueOf (...metrics: string[]): Catalogue {
  const parsed = parseCatalogue(`{ catalogue: 1, streams: { telemetry: { metrics: { ${metrics.join(', ')} } } } }`)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.catalogue
}

const anyNumber = fc.double({
  noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9
}).map((value) => value === 0 ? 0 : value)
const anyText = (maxLength: number): fc.Arbitrary<string> => fc.string({
  unit: 'grapheme', maxLength: Math.floor(maxLength / 16)
}).filter((text) => !/\p{Cc}/u.test(text))

const anyLimits: fc.Arbitrary<MetricLimits> = fc.uniqueArray(
  anyNumber, { minLength: 4, maxLength: 4 }).chain((values) => {
  const [a = 0, b = 0, c = 0, d = 0] = values.toSorted((one, other) => one - other)
  return fc.constantFrom<MetricLimits>(
    {}, { low: { warning: b, critical: a } }, { high: { critical: d } },
    { low: { critical: a }, high: { warning: c, critical: d } })
})

const anyNumberSimulation = (type: MetricType): fc.Arbitrary<NumberSimulation> => {
  const anyEnd = type === 'int' ? anyNumber.map((value) => Math.trunc(value) + 0) : anyNumber
  const anyPair = fc.tuple(anyEnd, anyEnd).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)
  return fc.record(
    { kind: fc.constantFrom(...NUMBER_SIMULATIONS), between: anyPair, beyond: fc.option(anyPair) },
    { noNullPrototype: true })
}

/** States with gaps, negative numbers and names of any form. */
export const anyStates: fc.Arbitrary<State[]> = fc.uniqueArray(
  fc.tuple(fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,40}$/), fc.integer({ min: STATE_MIN, max: STATE_MAX })),
  { minLength: 1, maxLength: 8, selector: ([name]) => name })
  .map((pairs) => [...new Map(pairs.map(([name, value]) => [value, { name, value }])).values()]
    .sort((a, b) => a.value - b.value))

/** Around all limits and simulated values, with either end left out at times; null: all values are valid. */
const anyRange = (type: MetricType): fc.Arbitrary<ValidRange | null> => fc.option(fc.record({
  min: fc.option(fc.constant(type === 'int' ? -2e9 : -1.1e9)),
  max: fc.option(fc.constant(type === 'int' ? 2e9 : 1.1e9)),
  outside: fc.constantFrom(...OUTSIDES)
}, { noNullPrototype: true }).map((range) => range.min === null && range.max === null ? null : range))

type Typed = Pick<Metric, 'type' | 'states' | 'range' | 'limits' | 'simulation'>
const STATE_SIMULATION = { kind: 'states' } as const

const anyTyped: fc.Arbitrary<Typed> = fc.oneof(
  fc.constantFrom('float' as const, 'float32' as const, 'int' as const).chain((type) => fc.record({
    type: fc.constant(type),
    states: fc.constant([]),
    range: anyRange(type),
    limits: anyLimits,
    simulation: anyNumberSimulation(type)
  }, { noNullPrototype: true })),
  fc.record({
    type: fc.constant('bool' as const),
    states: fc.constant([]),
    range: fc.constant(null),
    limits: fc.constantFrom<MetricLimits>({}, { states: { warning: [false] } }, { states: { critical: [true] } }),
    simulation: fc.constant(STATE_SIMULATION)
  }, { noNullPrototype: true }),
  anyStates.chain((states) => fc.subarray(states.slice(1).map(({ name }) => name)).map((bad): Typed => {
    const warning = bad.slice(1)
    const lists = { ...warning.length === 0 ? {} : { warning }, critical: bad.slice(0, 1) }
    const limits = bad.length === 0 ? {} : { states: lists }
    return { type: 'state', states, range: null, limits, simulation: STATE_SIMULATION }
  })))

const anyDescribed = fc.record({
  title: anyText(80),
  unit: anyText(24),
  description: anyText(500),
  resolution: fc.option(fc.double({ noNaN: true, min: 1e-6, max: 1e6 }))
}, { noNullPrototype: true })
const anyMetric: fc.Arbitrary<Omit<Metric, 'id' | 'name' | 'aliases' | 'retired'>> = fc.tuple(anyTyped, anyDescribed)
  .map(([typed, described]) => ({ ...typed, ...described }))

/** With aliases, retired ones, and ids that leave gaps. */
const anyMetrics = (anyNames: fc.Arbitrary<string[]>): fc.Arbitrary<Metric[]> => anyNames
  .map((names) => names.filter((name) => !RESERVED_NAMES.has(name)))
  .filter((names) => names.length > 0)
  .chain((names) => {
    // Every third name becomes an alias of the metric before it.
    const isAlias = (index: number): boolean => index % 3 === 2
    const own = names.filter((_, index) => !isAlias(index))
    return fc.tuple(
      fc.array(anyMetric, { minLength: own.length, maxLength: own.length }),
      fc.infiniteStream(fc.integer({ min: 1, max: 100 }))).map(([metrics, steps]) => {
      let id = 0
      return own.map((name, index) => {
        id += steps.next().value as number
        const alias = names[names.indexOf(name) + 1]
        const aliases = alias !== undefined && isAlias(names.indexOf(alias)) ? [alias] : []
        return { ...metrics[index] as typeof metrics[number], id, name, aliases, retired: index % 5 === 4 }
      })
    })
  })

/** A few metrics, now and then as many as there may be. */
const anyOtherMetrics = fc.oneof(
  { weight: 9, arbitrary: anyMetrics(fewMetricNames) }, { weight: 1, arbitrary: anyMetrics(anyMetricNames) })

const anyDuration = fc.option(fc.integer({ min: 60_000, max: 31_536_000_000 }))

const anyOther: fc.Arbitrary<StreamDefinition> = fc.record({
  id: fc.integer({ min: TELEMETRY_ID + 1, max: STREAM_ID_MAX }),
  name: fc.stringMatching(/^[a-z][a-z0-9_]{0,23}$/).filter((name) => name !== TELEMETRY && !isReservedStream(name)),
  title: anyText(80),
  intervalMs: fc.option(fc.integer({ min: 1, max: 3_600 }).map((seconds) => seconds * 1_000)),
  storage: fc.record({
    retentionMs: anyDuration, chunkIntervalMs: anyDuration, compressAfterMs: anyDuration
  }, { noNullPrototype: true }),
  retired: fc.integer({ min: 0, max: 7 }).map((value) => value === 0),
  metrics: anyOtherMetrics
}, { noNullPrototype: true })

const anyOthers = (maxLength: number): fc.Arbitrary<StreamDefinition[]> => fc.uniqueArray(
  anyOther, { maxLength, size: 'max', comparator: (a, b) => a.id === b.id || a.name === b.name })

const catalogueOfStreams = (metrics: Metric[], others: StreamDefinition[]): Catalogue => new Catalogue([
  { id: TELEMETRY_ID, name: TELEMETRY, title: 'Telemetry', intervalMs: null, retired: false, metrics }, ...others
])

/** One or several streams, now and then as many as there may be. */
export const anyCatalogue: fc.Arbitrary<Catalogue> = fc.tuple(
  anyMetrics(anyMetricNames),
  fc.oneof({ weight: 4, arbitrary: anyOthers(3) }, { weight: 1, arbitrary: anyOthers(STREAMS_MAX - 1) })
).map(([metrics, others]) => catalogueOfStreams(metrics, others))

/** Of one or two streams of a few metrics. */
export const anySmallCatalogue: fc.Arbitrary<Catalogue> = fc.tuple(anyMetrics(fewMetricNames), anyOthers(1))
  .map(([metrics, others]) => catalogueOfStreams(metrics, others))
