/** Query parameters: what they say, and all that is wrong with them. */
import t from 'tap'
import { cursorText, readAnomalyFilter, readHistoryQuery } from '../../../../lib/primary/answers/data-query.js'
import { METRICS } from '../../../../protocol/metrics.js'

t.test('nothing given', (t) => {
  t.strictSame(readAnomalyFilter(''), { ok: true, value: { sinceMicros: null, untilMicros: null, satellite: null, metric: null, severity: null, cursor: null, countMax: 100 } })
  t.strictSame(readHistoryQuery(''), { ok: true, value: { countMax: 20, before: null } })
  t.end()
})

t.test('everything given', (t) => {
  const cursor = { timeMicros: 1_700_000_000_000_001, satellite: 'ISS (ZARYA) 天', metric: METRICS[0].name, given: 3 }
  const query = new URLSearchParams({ since: '2023-11-14T22:13:20.000001Z', until: '1700000000001', satellite: 'NOAA 19', metric: METRICS[1].name, severity: 'warning', limit: '10000', cursor: cursorText(cursor) })
  t.strictSame(readAnomalyFilter(query.toString()), {
    ok: true,
    value: { sinceMicros: 1_700_000_000_000_001, untilMicros: 1_700_000_000_001_000, satellite: 'NOAA 19', metric: METRICS[1].name, severity: 'warning', cursor, countMax: 10_000 }
  })
  t.match(readAnomalyFilter('since=2023-11-14T22:13:20+01:00'), { ok: true, value: { sinceMicros: 1_699_996_400_000_000 } }, 'a plus sign that was not encoded')
  t.strictSame(readHistoryQuery('limit=1&before=7'), { ok: true, value: { countMax: 1, before: 7 } })
  t.end()
})

t.test('every problem is named', (t) => {
  const read = readAnomalyFilter('since=yesterday&until=1e3&satellite=%00&metric=voltage&severity=bad&limit=0&cursor=x&colour=red')
  if (read.ok) throw new Error('accepted')
  for (const name of ['since', 'until', 'satellite', 'metric', 'severity', 'limit', 'cursor', 'colour']) t.match(read.message, name)
  t.match(readAnomalyFilter('limit=1&limit=2'), { ok: false, message: /more than once/ })
  for (const limit of ['10001', '-1', '1.5', '', 'x']) t.match(readAnomalyFilter(`limit=${limit}`), { ok: false }, limit)
  t.match(readHistoryQuery('limit=101&before=0'), { ok: false, message: /limit .*before / })
  t.end()
})

t.test('cursors that nobody gave', (t) => {
  const bad = [null, {}, [], [1, 'A', 'm'], [1.5, 'A', 'm', 1], [1, '', 'm', 1], [1, 'A', 5, 1], [1, 'A', 'm', 0], [1e300, 'A', 'm', 1], [1, 'A', 'm\u0000', 1]]
  for (const value of bad) t.match(readAnomalyFilter(`cursor=${Buffer.from(JSON.stringify(value)).toString('base64url')}`), { ok: false }, JSON.stringify(value))
  t.end()
})
