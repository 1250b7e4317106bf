import t from 'tap'
import { compareRows, type Expected, type StoredPoint, type StoredRows } from '../../benchmarks/comparison.js'
import { pointOf } from '../../benchmarks/points.js'

const points = { satellites: 2, bodies: 2, batch: 3 }

function row (number: number, count: number, times = count * 100): StoredPoint {
  const { satelliteId, battery, signal } = pointOf(number, 2)
  return {
    number,
    count,
    times,
    satellites: [satelliteId, satelliteId],
    batteries: [battery, battery],
    signals: [signal, signal]
  }
}

/** Rows of each number in turn; each request has its own time. */
function rows (counts: readonly number[]): StoredRows {
  const first = counts.flatMap((count, number) => number % points.batch === 0
    ? [[number / points.batch, count] as const]
    : [])
  return {
    points: counts.flatMap((count, number) => count === 0 ? [] : [row(number, count)]),
    differentTimes: new Map(first),
    probes: { rows: 0, different: 0 }
  }
}

function problems (
  stored: StoredRows,
  acknowledged: readonly number[],
  sent: readonly number[] = acknowledged,
  more: Partial<Expected> = {}
): readonly string[] {
  return compareRows(stored, { points, acknowledged, sent, ...more }).problems
}

t.test('stored as often as acknowledged: no problems', t => {
  t.same(compareRows(rows([4, 4, 4, 1, 1, 1]), {
    points,
    acknowledged: [4, 1],
    sent: [4, 1]
  }), { stored: 15, problems: [] })
  t.end()
})

t.test('unanswered points may be stored or not', t => {
  t.same(problems(rows([5, 5, 5, 1, 1, 1]), [4, 1], [5, 2]), [])
  t.end()
})

t.test('lost, duplicate and foreign points are reported', t => {
  t.match(problems(rows([4, 3, 4, 1, 1, 1]), [4, 1]), [
    /^1 points were acknowledged/,
    /^2 points are stored without others/
  ])
  t.match(problems(rows([4, 4, 4, 1, 3, 1]), [4, 1]), [
    /^2 points are stored more often/,
    /^2 points are stored without others/
  ])
  t.match(problems(rows([1, 1, 1, 1, 1, 1, 1]), [1, 1]), [/^1 points are stored that were never sent/])
  t.end()
})

t.test('a completely missing body is lost', t => {
  t.match(problems(rows([]), [2, 0]), [/^6 points were acknowledged/])
  t.end()
})

t.test('one request lost and another duplicated: counts match, times do not', t => {
  const stored = { ...rows([4, 4, 4, 1, 1, 1]), differentTimes: new Map([[0, 3], [1, 1]]) }
  t.match(problems(stored, [4, 1]), [/^3 points were acknowledged/, /^3 points are stored twice/])
  t.same(problems(stored, [4, 1], [4, 1], { timesRepeat: true }), [], 'unless several senders send the same body')
  t.end()
})

t.test('one point of a request lost and one of another duplicated is detected by the sum of times', t => {
  const stored = rows([4, 4, 4, 1, 1, 1])
  t.match(problems({
    ...stored,
    points: stored.points.map((point) => point.number === 2 ? { ...point, times: point.times - 7 } : point)
  }, [4, 1]), [/^1 points are stored without others/])
  t.end()
})

t.test('points with a wrong satellite or value are reported', t => {
  const change = (changed: Partial<StoredPoint>): StoredRows => {
    const stored = rows([1, 1, 1, 1, 1, 1])
    return { ...stored, points: stored.points.map((point) => point.number === 2 ? { ...point, ...changed } : point) }
  }
  for (const changed of [
    { satellites: ['SAT-00000', 'SAT-00001'] }, {
      satellites: ['GHOST', 'SAT-00000']
    }, { batteries: [20, 20.74] }, { batteries: [null, null] }, { signals: [-62.6, -60] }
  ] as const) {
    t.match(problems(change(changed), [1, 1]), [
      /^1 points are stored with a wrong satellite or value/
    ], JSON.stringify(changed))
  }
  t.end()
})

t.test('rows that no load produces are foreign', t => {
  for (const number of [null, -1, 0.25, 6]) {
    const stored = rows([1, 1, 1, 1, 1, 1])
    t.match(problems({ ...stored, points: [...stored.points, { ...row(0, 2), number }] }, [1, 1]), [
      /^2 points are stored that were never sent/
    ])
  }
  t.end()
})

t.test('probes are stored once each, and only if some were sent', t => {
  const stored = (probeRows: number, different: number): StoredRows =>
    ({ ...rows([1, 1, 1, 1, 1, 1]), probes: { rows: probeRows, different } })
  const probes = { sent: 3, acknowledged: 2 }
  t.same(problems(stored(2, 2), [1, 1], [1, 1], { probes }), [])
  t.match(problems(stored(1, 1), [1, 1], [1, 1], { probes }), [/^1 probes were acknowledged/])
  t.match(problems(stored(3, 2), [1, 1], [1, 1], { probes }), [/^1 probes are stored twice/])
  t.match(problems(stored(1, 1), [1, 1]), [/^1 probes are stored that were never sent/])
  t.end()
})
