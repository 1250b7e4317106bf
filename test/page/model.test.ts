/** What the page knows, without a browser: the stream's codec, addresses, the list of anomalies. */
import t from 'tap'
import fc from 'fast-check'
import type { ProblemCode } from '../../lib/primary/answers/problems.js'
import { AnomalyList, keyOf, limitText, type Anomaly } from '../../page/model/anomalies.js'
import { Fleet, type FleetTick } from '../../page/model/fleet.js'
import { bytes, duration, short } from '../../page/model/format.js'
import { describeLimits } from '../../page/model/limits.js'
import { problemsOf } from '../../page/model/problems.js'
import { RANGES, hashOf, parseRoute, type Route } from '../../page/model/route.js'
import { ServerClock } from '../../page/model/server-clock.js'
import { SATELLITES_MAX, SATELLITES_PAGE, Satellites, readFleet } from '../../page/model/satellites.js'
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

t.test('numbers round to the next unit, without an exponent', (t) => {
  const cases = [
    [bytes, [1023, '1023 B'], [1024, '1.00 KB'], [1_023_600, '1000 KB'], [1000 * 2 ** 20, '1000 MB'],
      [1.5 * 2 ** 30, '1.50 GB'], [123 * 2 ** 40, '123 TB']],
    [short, [9_000, '9,000'], [12_345, '12.3 k'], [-12_345, '-12.3 k'], [999_499, '999 k'], [999_999, '1 M']],
    [duration, [0.0005, '0.5 ms'], [0.999, '999 ms'], [0.9996, '1.0 s'], [59, '59 s'], [90, '1 min']]
  ] as const
  for (const [format, ...pairs] of cases) {
    for (const [value, text] of pairs) t.equal(format(value).replace('\u202f', ' '), text)
  }
  t.end()
})

t.test('the chart of rates breaks where nothing was heard: behind another view, in a hidden tab', (t) => {
  const quantiles = { p50_s: null, p99_s: 0.001 }
  const tick = (time: number): FleetTick => ({
    time_ms: time, rates: { now: { http: 1, udp: 0 } }, latency: { ack: quantiles, commit: quantiles }
  } as FleetTick)
  const fleet = new Fleet()
  for (const time of [1_000, 1_500, 3_000, 60_000, 60_500]) fleet.add(tick(time))
  const [times, http] = fleet.history.read()
  t.same(times, [1, 1.5, 3, 3.25, 60, 60.5])
  t.same(http, [1, 1, 1, null, 1, 1])
  for (const time of [60_400, 20_000, 20_500]) fleet.add(tick(time))
  t.same(fleet.history.read()[0], [20, 20.5], 'the clock of the server was set back')
  t.end()
})

t.test('the server\'s clock is followed where it was set, not where events come late', (t) => {
  const hour = 3_600_000
  let now = 5_000
  const clock = new ServerClock(() => now)
  clock.set(hour)
  now += 500
  t.equal(clock.nowMs, hour + 500)
  clock.hear(hour + 490)
  t.equal(clock.nowMs, hour + 500)
  now += 30_000
  clock.hear(hour + 1_000)
  t.equal(clock.nowMs, hour + 30_500, 'an event that was under way for half a minute')
  clock.hear(2 * hour)
  t.equal(clock.nowMs, 2 * hour, 'set forward')
  now += 250
  clock.hear(hour)
  t.equal(clock.nowMs, hour, 'set back')
  now += 250
  clock.hear(hour + 250)
  t.equal(clock.nowMs, hour + 250)
  t.end()
})

t.test('a fleet larger than the page holds is read again as far as it is held', async (t) => {
  const total = SATELLITES_MAX + 2 * SATELLITES_PAGE
  const satellites = new Satellites()
  const read = async (time: string): Promise<number> => {
    let pages = 0
    await readFleet(async (cursor) => {
      pages++
      const first = Number(cursor)
      satellites.stored({
        total,
        limits_version: 1,
        satellites: Array.from({ length: SATELLITES_PAGE }, (_, index) => (
          { satellite_id: `SAT-${first + index}`, state: 'ok', streams: { telemetry: { time, state: 'ok' } } })),
        next: null
      }, true)
      const next = first + SATELLITES_PAGE
      return await Promise.resolve(next < total ? String(next) : null)
    })
    return pages
  }
  const pages = SATELLITES_MAX / SATELLITES_PAGE
  t.equal(await read('2026-11-29T12:00:00Z'), pages)
  t.equal(satellites.size, SATELLITES_MAX)
  t.equal(await read('2026-11-29T12:10:00Z'), pages)
  const last = satellites.get(`SAT-${SATELLITES_MAX - 1}`)
  t.equal(last?.timeMs, Date.parse('2026-11-29T12:10:00Z'))
  let asked = 0
  await readFleet(async () => {
    asked++
    return await Promise.resolve(null)
  })
  t.equal(asked, 1, 'a small fleet has one page')
})

t.test('every problem of the server has a sentence', (t) => {
  const codes: Record<ProblemCode, null> = {
    worker_down: null,
    worker_restarted: null,
    spool_nearly_full: null,
    spool_full: null,
    worker_complaint: null,
    database_away: null,
    ledger_fault: null,
    starting: null,
    maintenance_failing: null,
    rollups_overdue: null,
    rollups_failed: null,
    rollups_filling: null,
    limits_not_in_force: null,
    not_reloaded: null,
    not_replaced: null,
    certificate_expired: null,
    udp_open: null
  }
  const problems = problemsOf(Object.keys(codes).map((code) => ({ code, message: 'why', since_ms: 0 })))
  t.same(problems.filter(({ title }) => title === ''), [])
  t.match(problemsOf([{ code: 'of_a_later_server', message: 'why', since_ms: 0 }]), [{ title: '', level: 'warning' }])
  t.end()
})
