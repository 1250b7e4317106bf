import t from 'tap'
import { Costs, OtherWork, Results, type Session } from '../../benchmarks/session.js'

const run = (rate: number) => ({ rate, seconds: 1, sent: 0, acknowledged: 0, stored: 0, problems: [] })

t.test('records of all rounds are collected, in order of first appearance', t => {
  const results = new Results()
  for (const round of [1, 2]) {
    results.add('http', 'a', 'A', 'points/s', run(round))
    results.add('udp', 'b', 'B', 'points/s', run(10 * round))
    results.skip('C', 'not there')
  }
  t.same(results.measurements.map(({ name, runs }) => [name, runs.map(({ rate }) => rate)]), [
    ['a', [1, 2]],
    ['b', [10, 20]]
  ])
  t.equal(results.medianRate('b'), 15)
  t.equal(results.medianRate('none'), null)
  t.same(results.skipped, [{ title: 'C', reason: 'not there' }], 'once, not each round')
  t.end()
})

t.test('errors logged by the server are problems of the run during which they occur', t => {
  const complaints = [['points do not add up'], [], ['late']]
  const results = new Results(() => complaints.shift() ?? [])
  for (const round of [1, 2, 3]) {
    results.add('http', 'a', 'A', 'points/s', { ...run(round), problems: round === 3 ? ['own'] : [] })
  }
  t.same(results.measurements[0]?.runs.map(({ problems }) => problems), [
    ['the server logged: points do not add up'],
    [],
    ['own', 'the server logged: late']
  ])
  t.end()
})

function burn (): void {
  const before = process.cpuUsage()
  while (process.cpuUsage(before).user < 200_000) Math.random()
}

t.test('costs are those of the server\'s processes, separate from the load\'s', {
  skip: process.platform !== 'linux'
}, async t => {
  const session = {
    server: { roles: () => Promise.resolve(new Map([[process.pid, 'worker']])) },
    db: { backendPid: 0 }
  } as unknown as Session
  const costs = await Costs.begin(session)
  burn()
  const { cpuSeconds, peakBytes, otherCpuShare } = await costs.end(0.5)
  t.ok((cpuSeconds?.['worker'] ?? 0) >= 0.1)
  t.equal(cpuSeconds?.['load'], 0.5)
  t.ok((peakBytes?.['worker'] ?? 0) > 10_000_000)
  t.ok(otherCpuShare !== undefined && otherCpuShare >= 0)
})

t.test('other work is never negative', { skip: process.platform !== 'linux' }, t => {
  const work = new OtherWork()
  burn()
  t.same(work.end(1_000_000), { otherCpuShare: 0 })
  t.end()
})

t.test('an outlier round does not move the median, and one without a result does not count', t => {
  const results = new Results()
  for (const rate of [10, 90, 11, 0]) results.add('udp', 'a', 'A', 'points/s', run(rate))
  t.equal(results.medianRate('a'), 11)
  t.end()
})

t.test('notes of runs are in the title, once', t => {
  const results = new Results()
  for (const notes of [['at least'], [], ['at least']]) results.add('udp', 'a', 'A', 'points/s', { ...run(1), notes })
  t.equal(results.measurements[0]?.title, 'A (at least)')
  t.end()
})
