/** What the page knows, without a browser: the stream's codec, addresses, the list of anomalies. */
import t from 'tap'
import fc from 'fast-check'
import { AnomalyList, keyOf, limitText, type Anomaly } from '../../page/model/anomalies.js'
import { describeLimits } from '../../page/model/limits.js'
import { RANGES, hashOf, parseRoute, type Route } from '../../page/model/route.js'
import { EventParser, type ServerEvent } from '../../page/model/sse.js'

const anyText = fc.string({ unit: 'grapheme', maxLength: 20 })
const anyEnd = fc.constantFrom('\n', '\r', '\r\n')
const anyLine = fc.oneof(
  fc.constantFrom('', ': comment', 'data', 'event', 'id:', 'other: x'),
  fc.tuple(fc.constantFrom('data:', 'data: ', 'event: ', 'id: '), anyText.filter((text) => !/[\r\n]/.test(text)))
    .map((parts) => parts.join('')))

t.test('property: events are the same wherever the text is cut, and whatever ends its lines', (t) => {
  const anyStream = fc.array(anyLine, { maxLength: 20 })
  fc.assert(fc.property(anyStream, anyEnd, fc.array(fc.nat(), { maxLength: 10 }), (lines, end, cuts) => {
    const text = [...lines, '', '', 'data: last', '', ': end'].join(end) + end
    const read = (...pieces: string[]): ServerEvent[] => {
      const parser = new EventParser()
      return pieces.flatMap((piece) => parser.add(piece))
    }
    const at = [0, ...cuts.map((cut) => cut % text.length), text.length].sort((a, b) => a - b)
    const pieces = at.slice(1).map((stop, index) => text.slice(at[index], stop))
    const plain = read(text.replaceAll(end, '\n'))
    return JSON.stringify(read(...pieces)) === JSON.stringify(plain) && plain.at(-1)?.data === 'last'
  }))
  t.same(new EventParser().add('id: 7\nevent: a\ndata: 1\ndata: 2\n\ndata: 3\n\n'), [
    { event: 'a', data: '1\n2', id: '7' }, { event: 'message', data: '3', id: '7' }
  ])
  const parser = new EventParser()
  t.throws(() => { for (let line = 0; line < 5; line++) parser.add(`data: ${'x'.repeat(2 ** 20)}\n`) }, RangeError)
  t.end()
})

t.test('property: an address is what it says', (t) => {
  const anyName = fc.stringMatching(/^[a-z][a-z0-9_]{0,9}$/)
  const anyRoute: fc.Arbitrary<Route> = fc.oneof(
    fc.record({ view: fc.constant('fleet' as const), search: anyText, state: anyName }, { noNullPrototype: true }),
    fc.record({
      view: fc.constant('satellite' as const),
      id: anyText.filter((text) => text !== ''),
      range: fc.constantFrom(...RANGES),
      metrics: fc.option(fc.array(anyName))
    }, { noNullPrototype: true }),
    fc.record(
      { view: fc.constant('anomalies' as const), satellite: anyText, metric: anyName, severity: anyName },
      { noNullPrototype: true }),
    fc.constant({ view: 'limits' as const }))
  fc.assert(fc.property(anyRoute, (route) => {
    t.same(parseRoute(hashOf(route)), route)
  }))
  t.equal(parseRoute('#/satellite/%ZZ').view, 'satellite')
  t.match(parseRoute('nonsense'), { view: 'fleet' })
  t.end()
})

t.test('property: anomalies are kept once each, the newest, in order', (t) => {
  const anyAnomaly: fc.Arbitrary<Anomaly> = fc.tuple(fc.nat(50), fc.nat(3)).map(([second, value]) => ({
    time: new Date(1_800_000_000_000 + second * 1000).toISOString(),
    satellite_id: 'A',
    metric: 'm',
    value,
    limit: 1,
    severity: 'warning',
    side: 'low',
    limits_version: 1
  }))
  fc.assert(fc.property(fc.array(fc.array(anyAnomaly, { maxLength: 8 }), { maxLength: 8 }), (parts) => {
    const list = new AnomalyList(5)
    for (const part of parts) list.add(part)
    const times = list.all.map(({ time }) => time)
    const keys = new Set(list.all.map(keyOf))
    const newest = parts.flat().map(({ time }) => time).sort().reverse()[0]
    return keys.size === list.all.length && keys.size <= 5 && times.join() === times.toSorted().reverse().join() &&
      (newest === undefined || times[0] === newest)
  }))
  const [one] = fc.sample(anyAnomaly, 1)
  if (one === undefined) throw new Error('no anomaly')
  t.equal(limitText(one), 'below 1')
  t.equal(limitText({ ...one, side: 'high', limit: 2.5 }), 'above 2.5')
  t.equal(limitText({ ...one, side: 'state' }), '')
  t.equal(limitText({ ...one, side: 'range_high', limit: 100 }), 'above 100, not valid')
  t.equal(limitText({ ...one, side: 'change' }, 'SAFE'), 'was SAFE')
  t.equal(describeLimits({ high: { critical: 2 }, change: { warning: 'increase', critical: 'any' } }),
    'critical above 2, critical on change, warning on increase')
  t.end()
})
