import t from 'tap'
import { compareRows } from '../../benchmarks/stored.js'
import { satelliteOf } from '../../benchmarks/points.js'

const points = { satellites: 2, bodies: 2, batch: 3 }
const rows = (counts: number[]): Array<{ number: number, count: string, first: string, last: string }> => counts.map((count, number) => {
  const id = satelliteOf(number, 2)
  return { number, count: String(count), first: id, last: id }
})

t.test('as often stored as acknowledged: nothing to say', t => {
  const { stored, problems } = compareRows(rows([4, 4, 4, 1, 1, 1]), { points, acknowledged: [4, 1], sent: [4, 1] })
  t.equal(stored, 15)
  t.same(problems, [])
  t.end()
})

t.test('what was sent and had no answer may be stored or not', t => {
  t.same(compareRows(rows([5, 5, 5, 1, 1, 1]), { points, acknowledged: [4, 1], sent: [5, 2] }).problems, [])
  t.end()
})

t.test('a lost point, a double one and an invented one are told', t => {
  t.match(compareRows(rows([4, 3, 4, 1, 1, 1]), { points, acknowledged: [4, 1], sent: [4, 1] }).problems, [/^1 points were acknowledged/])
  t.match(compareRows(rows([4, 4, 4, 1, 3, 1]), { points, acknowledged: [4, 1], sent: [4, 1] }).problems, [/^2 points are stored more often/])
  t.match(compareRows(rows([1, 1, 1, 1, 1, 1, 1]), { points, acknowledged: [1, 1], sent: [1, 1] }).problems, [/^1 points are stored that were never sent/])
  t.end()
})

t.test('a body that is not there at all is lost', t => {
  t.match(compareRows([], { points, acknowledged: [2, 0], sent: [2, 0] }).problems, [/^6 points were acknowledged/])
  t.end()
})

t.test('a point under another satellite is told', t => {
  const mixed = rows([1, 1, 1, 1, 1, 1])
  mixed[2] = { number: 2, count: '1', first: 'SAT-00001', last: 'SAT-00001' }
  t.match(compareRows(mixed, { points, acknowledged: [1, 1], sent: [1, 1] }).problems, [/wrong satellite, such as SAT-00001/])
  t.end()
})
