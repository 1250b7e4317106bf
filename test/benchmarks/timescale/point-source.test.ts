import t from 'tap'
import { pointOf } from '../../../benchmarks/points.js'
import { PointSource } from '../../../benchmarks/timescale/point-source.js'
import { decodeCopy } from '../../support/points/rows.js'

const BEGIN_MS = Date.UTC(2026, 10, 26)

t.test('a transaction contains its points, sorted, with distinct times', t => {
  const source = new PointSource(4, 2, 100)
  source.transaction(3, BEGIN_MS - 5_000)
  const { copy, copyRows, times } = source.transaction(13, BEGIN_MS)
  t.equal(copyRows, 4)
  const read = (stream: Buffer) => decodeCopy(stream).map(({ id, timeMicros, values }) =>
    ({ id: id.toString(), after: Number(timeMicros) - BEGIN_MS * 1000, values }))
  const expected = [12, 14, 13, 15].map((number) => {
    const { satelliteId, battery, storage, signal } = pointOf(number, 2)
    return { id: satelliteId, after: (number - 12) * 25_000, values: [battery, storage, signal] }
  })
  t.same(read(copy), expected)
  t.match(times, { lowestMicros: BEGIN_MS * 1000, bucketsMicros: [BEGIN_MS * 1000] })
  t.same(read(times.newest().copy), [expected[1], expected[3]])
  t.end()
})

t.test('a transaction that crosses a ten-second boundary names both buckets', t => {
  const { times } = new PointSource(4, 2, 100).transaction(0, BEGIN_MS - 50)
  t.same(times.bucketsMicros, [(BEGIN_MS - 10_000) * 1000, BEGIN_MS * 1000])
  t.end()
})

t.test('the sum of a metric equals that of the rows, however often they repeat', t => {
  const source = new PointSource(5, 2, 100)
  const numbers = Array.from({ length: 13 }, (_, number) => number)
  const sum = numbers
    .flatMap((number) => decodeCopy(source.transaction(number, BEGIN_MS).copy).map(({ values }) => values[1] ?? NaN))
    .reduce((all, value) => all + value, 0)
  t.equal(source.storageSum(13), sum)
  t.end()
})
