/** The newest points for the live feed: what is told when, and bounds. */
import t from 'tap'
import { PointColumns } from '../../../protocol/columns.js'
import { SatelliteTable } from '../../../protocol/satellites.js'
import { AnomalyColumns } from '../../../lib/limits/anomaly-columns.js'
import { LimitTable } from '../../../lib/limits/limit-table.js'
import { NewestPoints } from '../../../lib/worker/newest-points.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../support/points/built-in.js'

const SECOND = 1_000_000
const ALL = { satellites: true, isFull: false, watched: [] }
const NAME = METRICS[0].name
/** Warning above 10, critical above 20. */
const LIMITS = new LimitTable({
  version: 1, set: { default: { [NAME]: { high: { warning: 10, critical: 20 } } }, overrides: {} }
}, TELEMETRY)

type Plain = readonly [id: string, seconds: number, ...values: number[]]

function rig (max = 200_000): { newest: NewestPoints, offer: (...points: Plain[]) => void } {
  const table = new SatelliteTable(max)
  const columns = new PointColumns(TELEMETRY)
  const anomalies = new AnomalyColumns()
  const newest = new NewestPoints(table, [METRIC_COUNT])
  const offer = (...points: Plain[]): void => {
    table.begin()
    columns.clear()
    for (const [id, seconds, ...values] of points) {
      const first = columns.push(table.byId(id)!, seconds * SECOND) * METRIC_COUNT
      values.forEach((value, metric) => { columns.values[first + metric] = value })
    }
    table.keep()
    LIMITS.judge(columns, table.generation, anomalies)
    newest.take(columns, anomalies.count === 0 ? null : anomalies, 0)
  }
  return { newest, offer }
}

t.test('nothing is remembered while nobody watches', (t) => {
  const { newest, offer } = rig()
  offer(['A', 1, 1])
  newest.watch(ALL)
  t.strictSame(newest.part(false), { satellites: [], more: 0, isLossy: false, points: [] })
  t.end()
})

t.test('the newest point of each satellite, with the state of its worst metric', (t) => {
  const { newest, offer } = rig()
  newest.watch(ALL)
  offer(['A', 2, 1, 0], ['B', 1, 15], ['A', 1, 25], ['C', 1, 30])
  t.strictSame(newest.part(false).satellites, [['A', 2000, 0, 0], ['B', 1000, 1, 0], ['C', 1000, 2, 0]])
  t.strictSame(newest.part(false).satellites, [])
  offer(['A', 1.5, 25])
  t.strictSame(newest.part(false).satellites, [], 'an older point is no news')
  offer(['A', 3, 1, 0], ['C', 2, 1])
  t.strictSame(newest.part(false).satellites, [['C', 2000, 0, 0], ['A', 3000, 0, 0]], 'changes of state come first')
  t.end()
})

t.test('times alone come a quarter at a time, states at once; a full primary is left alone', (t) => {
  const { newest, offer } = rig()
  newest.watch(ALL)
  const fleet = (seconds: number, value: number): Plain[] => (
    Array.from({ length: 800 }, (_, index): Plain => [`S-${index}`, seconds, value]))
  offer(...fleet(1, 1))
  t.equal(newest.part(false).satellites.length, 800)
  const heard = new Set<string>()
  for (let tick = 2; tick < 8; tick++) {
    offer(...fleet(tick, 1))
    const { satellites, more } = newest.part(false)
    t.equal(satellites.length, 200)
    t.equal(more, 600)
    for (const [id] of satellites) heard.add(id)
  }
  t.equal(heard.size, 800, 'in turn')
  offer(['S-700', 9, 99])
  t.match(newest.part(true), { satellites: [], more: 601 })
  t.strictSame(newest.part(false).satellites[0], ['S-700', 9000, 2, 0])
  t.end()
})

t.test('watched satellites: for each metric its newest value, and the state of the newest point', (t) => {
  const { newest, offer } = rig()
  offer(['A', 1, 1, 0], ['B', 1, 1])
  newest.watch({ satellites: false, isFull: false, watched: ['B', 'NEW'] })
  offer(['A', 2, 2, 0], ['B', 2, 12, 5], ['B', 1.5, 7, 6])
  t.strictSame(newest.part(false), {
    satellites: [],
    more: 0,
    isLossy: false,
    points: [{ satellite: 'B', stream: 0, timeMs: 2000, state: 1, values: [[0, 2000, 12], [1, 2000, 5]] }]
  })
  t.strictSame(newest.part(false).points, [])
  offer(['B', 3, NaN, NaN, 4], ['NEW', 3, 1])
  t.strictSame(newest.part(false).points.map(({ satellite, values }) => [satellite, values]), [
    ['B', [[2, 3000, 4]]], ['NEW', [[0, 3000, 1]]]
  ])
  newest.watch({ satellites: true, isFull: false, watched: ['A'] })
  offer(['A', 4, 1, 0], ['B', 4, 1])
  t.strictSame(newest.part(false).points.map(({ satellite }) => satellite), ['A'])
  newest.watch(null)
  offer(['A', 5, 1])
  newest.watch({ satellites: false, isFull: false, watched: ['A'] })
  t.strictSame(newest.part(false).points, [])
  t.end()
})

t.test('a million ids: what waits is bounded, and what is dropped is said', (t) => {
  const { newest, offer } = rig(2_000)
  newest.watch({ satellites: true, isFull: false, watched: ['S-999999'] })
  let lossy = 0
  let most = 0
  for (let body = 0; body < 1_000; body++) {
    offer(...Array.from({ length: 1_000 }, (_, index): Plain => [`S-${body * 1_000 + index}`, body, 1]))
    if (body % 4 !== 3) continue
    const { satellites, more, isLossy } = newest.part(false)
    most = Math.max(most, satellites.length + more)
    if (isLossy) lossy++
  }
  t.ok(most <= 3_000, `${most} wait`)
  t.equal(lossy, 250)
  newest.part(false)
  offer(['S-5', 2_000, 1])
  t.ok(newest.part(false).satellites.some(([id]) => id === 'S-5'))
  t.end()
})
