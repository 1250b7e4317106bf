/** Query parameters: their values, and every problem with them. */
import t from 'tap'
import { cursorText, readAnomalyFilter, readHistoryQuery } from '../../../../lib/primary/answers/data-query.js'
import { METRICS, TELEMETRY } from '../../../support/points/built-in.js'

t.test('no parameters', (t) => {
  const all = { sinceMicros: null, untilMicros: null, satellite: null, metric: null, severity: null, cursor: null }
  t.strictSame(readAnomalyFilter('', TELEMETRY), { ok: true, value: { ...all, countMax: 100 } })
  t.strictSame(readHistoryQuery(''), { ok: true, value: { countMax: 20, before: null } })
  t.end()
})

t.test('all parameters', (t) => {
  const cursor = { timeMicros: 1_700_000_000_000_001, satellite: 'ISS (ZARYA) 天', metric: METRICS[0].name, given: 3 }
  const [satellite, metric, severity] = ['NOAA 19', METRICS[1].name, 'warning']
  const [since, until] = ['2023-11-14T22:13:20.000001Z', '1700000000001']
  const text = { since, until, satellite, metric, severity, limit: '10000', cursor: cursorText(cursor) }
  const times = { sinceMicros: 1_700_000_000_000_001, untilMicros: 1_700_000_000_001_000 }
  t.strictSame(readAnomalyFilter(new URLSearchParams(text).toString(), TELEMETRY), {
    ok: true,
    value: { ...times, satellite, metric, severity, cursor, countMax: 10_000 }
  })
  const unencodedPlus = readAnomalyFilter('since=2023-11-14T22:13:20+01:00', TELEMETRY)
  t.match(unencodedPlus, { ok: true, value: { sinceMicros: 1_699_996_400_000_000 } })
  t.strictSame(readHistoryQuery('limit=1&before=7'), { ok: true, value: { countMax: 1, before: 7 } })
  t.end()
})

t.test('every problem is named', (t) => {
  const times = { since: 'yesterday', until: '1e3' }
  const kinds = { satellite: '\0', metric: 'voltage', severity: 'bad' }
  const wrong = { ...times, ...kinds, limit: '0', cursor: 'x', colour: 'red' }
  const read = readAnomalyFilter(new URLSearchParams(wrong).toString(), TELEMETRY)
  if (read.ok) throw new Error('accepted')
  for (const name of Object.keys(wrong)) t.match(read.message, name)
  t.match(readAnomalyFilter('limit=1&limit=2', TELEMETRY), { ok: false, message: /more than once/ })
  for (const limit of ['10001', '-1', '1.5', '', 'x']) {
    t.match(readAnomalyFilter(`limit=${limit}`, TELEMETRY), { ok: false }, limit)
  }
  t.match(readHistoryQuery('limit=101&before=0'), { ok: false, message: /limit .*before / })
  t.end()
})

t.test('forged cursors', (t) => {
  const bad = [
    null, {}, [], [1, 'A', 'm'], [1.5, 'A', 'm', 1], [1, '', 'm', 1], [1, 'A', 5, 1], [1, 'A', 'm', 0],
    [1e300, 'A', 'm', 1], [1, 'A', 'm\u0000', 1]
  ]
  for (const value of bad) {
    const json = JSON.stringify(value)
    t.match(readAnomalyFilter(`cursor=${Buffer.from(json).toString('base64url')}`, TELEMETRY), { ok: false }, json)
  }
  t.end()
})
