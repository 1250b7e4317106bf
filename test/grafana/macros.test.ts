/** The examples in Grafana's documentation: the query tests rely on this expansion. */
import t from 'tap'
import { expandMacros } from '../../grafana/queries/macros.js'

const SETTINGS = {
  from: new Date('2026-11-24T12:00:00Z'),
  to: new Date('2026-11-24T13:00:00Z'),
  intervalMs: 90_000,
  variables: { host: "it's", __searchFilter: 'SAT%' }
}

t.test('macros', (t) => {
  const cases: Array<[text: string, sql: string, timescaledb?: boolean]> = [
    ['$__time(at)', 'at AS "time"'],
    ['$__timeEpoch(at)', 'extract(epoch from at) as "time"'],
    [
      'WHERE $__timeFilter(t."time")',
      'WHERE t."time" BETWEEN \'2026-11-24T12:00:00.000Z\' AND \'2026-11-24T13:00:00.000Z\''
    ],
    ['$__timeFrom()::timestamptz, $__timeTo()', "'2026-11-24T12:00:00.000Z'::timestamptz, '2026-11-24T13:00:00.000Z'"],
    ["$__timeGroup(at,'5m')", "time_bucket('300.000s',at)"],
    ['$__timeGroup(at, 5m)', 'floor(extract(epoch from at)/300)*300', false],
    ['$__timeGroupAlias(at,$__interval)', 'time_bucket(\'60.000s\',at) AS "time"'],
    ['$__interval $__interval_ms', '1m 90000'],
    ['$__unixEpochFilter(at)', 'at >= 1795521600 AND at <= 1795525200'],
    ['$__unixEpochFrom() $__unixEpochTo()', '1795521600 1795525200'],
    ["$__unixEpochGroupAlias(at, '10s')", 'floor((at)/10)*10 AS "time"']
  ]
  for (const [text, sql, timescaledb] of cases) {
    t.equal(expandMacros(text, { ...SETTINGS, ...timescaledb === undefined ? {} : { timescaledb } }), sql)
  }
  t.end()
})

t.test('variables', (t) => {
  // eslint-disable-next-line no-template-curly-in-string
  t.equal(expandMacros("${host:sqlstring} $host ${host} '$__searchFilter'", SETTINGS), "'it''s' it's it's 'SAT%'")
  t.equal(
    expandMacros("'$__searchFilter'", { ...SETTINGS, variables: {} }),
    "'$__searchFilter'",
    'as Grafana 12.4 and newer, while nothing was typed'
  )
  t.throws(() => expandMacros('$other', SETTINGS), /variable other/)
  t.throws(() => expandMacros('$__unknown(1)', SETTINGS), /unknown macro/)
  t.throws(() => expandMacros('$__timeFilter', SETTINGS), /nothing is left/)
  t.end()
})
