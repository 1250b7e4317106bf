/** Catalogues of any size. */
import fc from 'fast-check'
import { Catalogue, SIMULATION_KINDS, type Metric, type MetricLimits } from '../../protocol/catalogue.js'
import { RESERVED_NAMES, parseCatalogue } from '../../lib/catalogue/catalogue-file.js'
import { anyMetricNames } from './schemas.js'

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

const anyPair = fc.tuple(anyNumber, anyNumber).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)

const anyMetric = fc.record<Omit<Metric, 'id' | 'name' | 'aliases' | 'retired'>>({
  title: anyText(80),
  unit: anyText(24),
  description: anyText(500),
  resolution: fc.option(fc.double({ noNaN: true, min: 1e-6, max: 1e6 })),
  limits: anyLimits,
  simulation: fc.record(
    { kind: fc.constantFrom(...SIMULATION_KINDS), between: anyPair, beyond: fc.option(anyPair) },
    { noNullPrototype: true })
}, { noNullPrototype: true })

/** With aliases, retired metrics, and ids that leave gaps. */
export const anyCatalogue: fc.Arbitrary<Catalogue> = anyMetricNames
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
      return new Catalogue(own.map((name, index) => {
        id += steps.next().value as number
        const alias = names[names.indexOf(name) + 1]
        const aliases = alias !== undefined && isAlias(names.indexOf(alias)) ? [alias] : []
        return { ...metrics[index] as typeof metrics[number], id, name, aliases, retired: index % 5 === 4 }
      }))
    })
  })
