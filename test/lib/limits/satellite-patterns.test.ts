/** Lists of ids and patterns match as the keys of overrides do. */
import t from 'tap'
import fc from 'fast-check'
import { LimitResolver } from '../../../lib/limits/resolver.js'
import { SatellitePatterns } from '../../../lib/limits/satellite-patterns.js'
import { METRICS, TELEMETRY } from '../../support/points/built-in.js'

/** Few letters, so patterns match often. */
const word = fc.string({ unit: fc.constantFrom('a', 'b', '-'), minLength: 1, maxLength: 8 })
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*'), minLength: 1, maxLength: 8 })

t.test('property: a list matches the satellites that overrides with the same keys apply to', t => {
  const lists = fc.array(pattern, { minLength: 1, maxLength: 6 })
  const satellites = fc.array(word, { minLength: 1, maxLength: 20 })
  fc.assert(fc.property(lists, satellites, (texts, ids) => {
    const overrides = Object.fromEntries(texts.map((text) => [text, { [METRICS[0].name]: {} }]))
    const resolver = new LimitResolver({ default: {}, overrides }, TELEMETRY.metrics)
    const patterns = new SatellitePatterns(texts)
    const chosen = new Array<number>(METRICS.length).fill(0)
    return ids.every((id) => {
      resolver.resolve(id, chosen)
      return patterns.matches(id) === (chosen[0] !== resolver.defaultEntry)
    })
  }), { numRuns: 2_000 })
  t.end()
})

t.test('valid lists', t => {
  t.equal(SatellitePatterns.problemOf(['ISS (ZARYA)', '*', 'SAT-*', '衛星']), null)
  const ids = Array.from({ length: 5_000 }, (_, index) => `SAT-${index}`)
  t.equal(SatellitePatterns.problemOf([...ids, ...Array<string>(16).fill('*')]), null)
  for (const wrong of ['', ' x', 'x'.repeat(65), 'a\u0000', 7, null, {}]) {
    t.match(SatellitePatterns.problemOf(['ok', wrong]), /neither a satellite id nor a pattern/, JSON.stringify(wrong))
  }
  t.match(SatellitePatterns.problemOf(['*'.repeat(9)]), /more than 8/)
  const patterns = Array.from({ length: 17 }, (_, index) => `${index}*`)
  t.match(SatellitePatterns.problemOf(patterns), /has 17 patterns; at most 16/)
  t.end()
})
