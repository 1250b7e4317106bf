/** Lists of ids and patterns mean what the keys of overrides mean. */
import t from 'tap'
import fc from 'fast-check'
import { LimitResolver } from '../../../lib/limits/resolver.js'
import { SatellitePatterns } from '../../../lib/limits/satellite-patterns.js'
import { METRICS, TELEMETRY } from '../../../protocol/metrics.js'

/** Few letters, so that patterns match often. */
const word = fc.string({ unit: fc.constantFrom('a', 'b', '-'), minLength: 1, maxLength: 8 })
const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '-', '*'), minLength: 1, maxLength: 8 })

t.test('a satellite is meant where an override for the same texts would count', t => {
  fc.assert(fc.property(fc.array(pattern, { minLength: 1, maxLength: 6 }), fc.array(word, { minLength: 1, maxLength: 20 }), (texts, ids) => {
    const resolver = new LimitResolver({ default: {}, overrides: Object.fromEntries(texts.map((text) => [text, { [METRICS[0].name]: {} }])) }, TELEMETRY.metrics)
    const patterns = new SatellitePatterns(texts)
    const chosen = new Array<number>(METRICS.length).fill(0)
    return ids.every((id) => {
      resolver.resolve(id, chosen)
      return patterns.matches(id) === (chosen[0] !== resolver.defaultEntry)
    })
  }), { numRuns: 2_000 })
  t.end()
})

t.test('what a list may hold', t => {
  t.equal(SatellitePatterns.problemOf(['ISS (ZARYA)', '*', 'SAT-*', '衛星']), null)
  t.equal(SatellitePatterns.problemOf([...Array.from({ length: 5_000 }, (_, index) => `SAT-${index}`), ...Array<string>(16).fill('*')]), null)
  for (const wrong of ['', ' x', 'x'.repeat(65), 'a\u0000', 7, null, {}]) t.match(SatellitePatterns.problemOf(['ok', wrong]), /neither a satellite id nor a pattern/, JSON.stringify(wrong))
  t.match(SatellitePatterns.problemOf(['*'.repeat(9)]), /more than 8/)
  t.match(SatellitePatterns.problemOf(Array.from({ length: 17 }, (_, index) => `${index}*`)), /has 17 patterns; at most 16/)
  t.end()
})
