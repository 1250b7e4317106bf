import t from 'tap'
import { parseCatalogue } from '../../lib/catalogue/catalogue-file.js'
import { valuesPerPoint, wideCatalogue, wideJson, wideNames } from '../../benchmarks/wide/wide-points.js'
import type { Wide } from '../../benchmarks/points.js'

const valuesOf = (wide: Wide): number[] => {
  const set = { satellites: 7, bodies: 2, batch: 30 }
  const points = JSON.parse(wideJson(set, wide, 1, '')) as object[]
  t.equal(points.length, set.batch)
  return points.map((point) => Object.keys(point).length - 1)
}

t.test('every point has as many values as are counted, of metrics that the catalogue has', t => {
  for (const [metrics, oneIn] of [[3, 1], [20, 10], [250, 10], [250, 1]] as const) {
    const wide = { metrics, oneIn }
    t.same(new Set(valuesOf(wide)), new Set([valuesPerPoint(wide)]))
    const parsed = parseCatalogue(wideCatalogue(wide))
    t.same(parsed.ok && parsed.catalogue.telemetry.schema.metrics, wideNames(wide))
  }
  t.throws(() => valuesPerPoint({ metrics: 3, oneIn: 10 }), RangeError)
  t.end()
})
