import t from 'tap'
import { allQueries } from '../../../grafana/queries/dashboards.js'
import { recordOf } from '../../../benchmarks/scenarios/aggregates.js'
import { lateProblems, NEED_NOT_SHOW } from '../../../benchmarks/scenarios/freshness.js'
import { autocannonProblems, autocannonSeconds } from '../../../benchmarks/scenarios/http.js'
import { httpJob } from '../../../benchmarks/scenarios/throughput.js'
import { highest, keptUp, searchFrom } from '../../../benchmarks/scenarios/udp.js'
import { latencyOf } from '../../../benchmarks/statistics.js'

const RUN = { rate: 1, seconds: 1, sent: 1, acknowledged: 0, stored: 1, problems: [] }

t.test('UDP: a machine that sustains a tenth of its previous rate is measured, not failed', async t => {
  const record = await highest(searchFrom(1_000_000, 6), async (rate) =>
    await Promise.resolve({ holds: rate <= 90_000, outcome: { ...RUN, rate } }))
  t.ok(record.rate > 50_000 && record.rate <= 90_000, String(record.rate))
  t.same(record.problems, [])
})

t.test('UDP: the first round gets within 5% in the default number of trials', async t => {
  const record = await highest(searchFrom(null, 7), async (rate) =>
    await Promise.resolve({ holds: rate <= 963_000, outcome: { ...RUN, rate } }))
  t.ok(record.rate > 963_000 / 1.05, String(record.rate))
})

t.test('UDP: problems of a trial that does not hold are reported', async t => {
  const record = await highest(searchFrom(null, 6), async (rate) => await Promise.resolve({
    holds: rate < 500_000,
    outcome: { ...RUN, rate, problems: rate < 500_000 ? [] : ['5 points are stored twice'] }
  }))
  t.same(record.problems, ['5 points are stored twice'])
})

t.test('UDP: a search that ends at its highest rate says so', async t => {
  const record = await highest({
    ...searchFrom(null, 20),
    high: 1_000_000
  }, async (rate) => await Promise.resolve({ holds: true, outcome: { ...RUN, rate } }))
  t.match(record, { rate: 1_000_000, notes: ['at least'] })
  t.match(await highest(searchFrom(null, 20), async () => await Promise.resolve({ holds: false, outcome: RUN })), {
    rate: 0,
    problems: [/had losses/]
  })
})

t.test('UDP: a rate that leaves a backlog in the spool does not hold', t => {
  t.ok(keptUp({ seconds: 3 }, 3.9))
  t.ok(keptUp({ seconds: 3 }, 2.99))
  t.notOk(keptUp({ seconds: 3 }, 4.1))
  t.end()
})

const job = (requestsPerSecond: number | null) =>
  ({ url: '', points: { satellites: 1, bodies: 2, batch: 1 }, connections: 2, requestsPerSecond, seconds: 5 })

t.test('autocannon: points stored within the last second count fully, later ones lower the rate', t => {
  t.equal(50_000 / autocannonSeconds(job(10_000), 4.3), 10_000)
  t.equal(50_000 / autocannonSeconds(job(10_000), 6.25), 8_000)
  t.equal(autocannonSeconds(job(null), 4.3), 4.3)
  t.end()
})

t.test('autocannon: failed and unsent requests are problems', t => {
  const result = {
    sent: [25_000, 25_000],
    acknowledged: [25_000, 25_000],
    statuses: { 202: 50_000 },
    failed: 0,
    latency: latencyOf([]),
    startedAtMs: 0
  }
  t.same(autocannonProblems(job(10_000), result), [])
  t.match(autocannonProblems(job(10_000), { ...result, failed: 2 }), [/^2 connections were lost/])
  t.match(autocannonProblems(job(10_000), { ...result, acknowledged: [20_000, 25_000] }), [
    /^only 45000 of 50000 requests succeeded/
  ])
  t.match(autocannonProblems(job(10_000), { ...result, sent: [20_000, 20_000], acknowledged: [20_000, 20_000] }), [
    /^only 40000 of 50000 requests could be sent/
  ])
  t.match(autocannonProblems(job(null), { ...result, statuses: { 503: 1 } }), [/^1 requests were answered with 503/])
  t.end()
})

t.test('freshness: late and empty panels fail, except exempt ones', t => {
  const [exempt] = NEED_NOT_SHOW
  t.match(lateProblems([{ title: 'a', ageMs: 5 }, { title: 'b', ageMs: 2_500 }, { title: 'c', ageMs: NaN }, {
    title: exempt ?? '',
    ageMs: NaN
  }]), [/^b shows points after 2500 ms/, /^c shows nothing new/])
  t.match(lateProblems([{ title: exempt ?? '', ageMs: 2_500 }]), [/after 2500/])
  const titles = new Set(allQueries().map(({ title }) => title))
  t.same([...NEED_NOT_SHOW].filter((title) => !titles.has(title)), [], 'each exempt title belongs to a query')
  t.end()
})

t.test('aggregates: points count over the time until the last was stored, and lagging refreshes fail', t => {
  const result = {
    sent: 600,
    acknowledged: 600,
    stored: 600,
    seconds: 6,
    latency: latencyOf([1]),
    busySeconds: { storing: 1, refreshes: 1 },
    cpuSeconds: { storing: 1, refreshes: 1 },
    refreshed: 600,
    problems: ['one']
  }
  t.match(recordOf(result, null, { otherCpuShare: 0.1 }), {
    rate: 100,
    stored: 600,
    otherCpuShare: 0.1,
    cpuSeconds: { storing: 1 },
    problems: ['one'],
    notes: [/WebAssembly/]
  })
  t.match(recordOf({ ...result, refreshed: 400, problems: [] }, null, {}).problems, [/processed 400 points while 600/])
  const without = recordOf({
    ...result,
    busySeconds: { storing: 1 },
    cpuSeconds: null,
    refreshed: 0,
    problems: []
  }, 'postgres://x', {})
  t.match(without, { problems: [], notes: [/on a server/] })
  t.notOk('cpuSeconds' in without)
  t.end()
})

t.test('a load has the requested connections, and never more points than are distinguishable', t => {
  const load = { format: 'json', batch: 1000, seconds: 1 } as const
  t.match(httpJob(1, { ...load, connections: 32 }), { connections: 32, points: { bodies: 64 } })
  const large = httpJob(1, { ...load, connections: 100, satellites: 150_000 })
  t.ok(large.points.bodies * large.points.batch <= 190_000)
  t.match(httpJob(1, { ...load, batch: 1 }), { single: true, target: { path: '/telemetry' } })
  t.match(httpJob(1, { ...load, batch: 1, array: true }), { single: false, target: { path: '/telemetry/batch' } })
  t.end()
})
