import assert from 'node:assert/strict'
import t from 'tap'
import { addPoints, healthAnswer, sumPoints, type HealthSources } from '../../../../lib/primary/answers/health.js'
import type { WorkerReport } from '../../../../lib/messages/messages.js'
import type { UdpCounters } from '../../../../lib/ingress/udp/listener.js'
import type { DrainState } from '../../../../lib/drain/drain.js'
import type { RollupStatus } from '../../../../lib/upkeep/rollups.js'
import { UdpTotals } from '../../../../lib/primary/answers/udp-totals.js'
import { PointCounters } from '../../../../lib/pipeline/pipeline.js'
import { pointsOf, reportOf, slotOf, udpCountersOf } from '../../../support/slots.js'

function ask (changes: Partial<HealthSources>): { readonly status: number, readonly body: Record<string, unknown> } {
  const answer = healthAnswer({
    version: '1.2.3',
    startedMs: performance.now() - 5000,
    slots: [slotOf()],
    retired: new PointCounters(),
    retiredUdp: new UdpTotals(),
    database: { kind: 'plain', embedded: true },
    waitsFor: null,
    httpEngine: { name: 'uws', release: 'uws-pack 1.0.0', unsafe: [], cannot: ['HTTP/1.0'], advice: 'set HTTP_ENGINE=node' },
    maintenanceError: null,
    rollups: null,
    limits: { version: 3, complaint: null },
    ...changes
  })
  assert.equal(answer.contentType, 'application/json')
  return { status: answer.status, body: JSON.parse(answer.body) as Record<string, unknown> }
}

const database = (state: DrainState, lastError: string | null = null): { state: DrainState, lastError: string | null, retries: number } => ({ state, lastError, retries: 0 })

const rollups = (changes: Partial<RollupStatus>): RollupStatus => ({ waitingMinutes: 0, remainingSeconds: null, failedBuckets: 0, failure: null, overdue: [], ...changes })

t.test('healthy: all workers are ready, nothing is wrong', (t) => {
  const { status, body } = ask({ slots: [slotOf(), slotOf({ number: 1 })] })
  t.equal(status, 200)
  t.match(body, { status: 'healthy', version: '1.2.3', http: { name: 'uws', release: 'uws-pack 1.0.0', unsafe: [], cannot: ['HTTP/1.0'], advice: 'set HTTP_ENGINE=node' }, uptime_seconds: 5, reasons: [], database: { kind: 'plain', embedded: true, state: 'up' } })
  t.ok(Math.abs(Date.parse(String(body['timestamp'])) - Date.now()) < 60_000)
  t.end()
})

t.test('degraded: points are accepted, and reasons say what is wrong', (t) => {
  const well = slotOf()
  const cases: Array<[string, Partial<HealthSources>, RegExp]> = [
    ['a worker is away', { slots: [well, slotOf({ number: 1, state: 'waiting', lastDeath: 'signal SIGKILL', report: null })] }, /^worker 1 is waiting after signal SIGKILL$/],
    ['a worker has not started yet', { slots: [well, slotOf({ number: 1, state: 'starting', report: null })] }, /^worker 1 is starting$/],
    ['a worker was restarted just now', { slots: [well, slotOf({ number: 1, restarts: 1, lastDeath: 'exit code 3', startedMs: performance.now() })] }, /^worker 1 was restarted after exit code 3$/],
    ['the soft bound', { slots: [slotOf({ report: reportOf({ pressure: 'soft' }) })] }, /soft bound/],
    ['the hard bound of one of two', { slots: [well, slotOf({ number: 1, report: reportOf({ pressure: 'hard' }) })] }, /worker 1 .*hard bound/],
    ['the database is away', { slots: [slotOf({ report: reportOf({ database: database('retrying', 'refused') }) })] }, /does not take points: refused/],
    ['the ledger does not fit', { slots: [slotOf({ report: reportOf({ database: database('halted', 'The ledger shows') }) })] }, /The ledger shows/],
    ['a spool that cannot be opened', { slots: [slotOf({ report: reportOf({ complaints: ['the spool of slot-7 cannot be opened'] }) })] }, /^the spool of slot-7 cannot be opened$/],
    ['maintenance fails', { maintenanceError: 'disk full' }, /maintenance fails: disk full/],
    ['a policy does not run', { rollups: rollups({ overdue: [{ view: 'rollup_1m', seconds: 300 }] }) }, /^the refresh policy of rollup_1m has not run for 300 s/],
    ['a bucket fails', { rollups: rollups({ failedBuckets: 1, failure: 'overflow' }) }, /left out: 1; the last is overflow$/],
    ['history is rolled up', { rollups: rollups({ waitingMinutes: 43_200, remainingSeconds: 7_300 }) }, /^43,200 minutes of rollups, for about 3h are to be made yet; queries of their time are slower/],
    ['history on TimescaleDB', { database: { kind: 'timescale', embedded: false }, rollups: rollups({ waitingMinutes: 60 }) }, /^60 minutes of rollups are to be made yet; telemetry_10s and telemetry_1m lack them/]
  ]
  for (const [name, sources, reason] of cases) {
    const { status, body } = ask(sources)
    t.equal(status, 200, name)
    t.equal(body['status'], 'degraded', name)
    t.match(body['reasons'], [reason], name)
    t.equal((body['reasons'] as string[]).length, 1, name)
  }
  t.end()
})

t.test('rollups: what waits as it does every day is shown, and is no reason', (t) => {
  t.match(ask({ rollups: rollups({ waitingMinutes: 59, remainingSeconds: 3 }) }).body, { status: 'healthy', rollups: { waiting_minutes: 59, remaining_seconds: 3, failed_buckets: 0, overdue_policies: [] } })
  t.match(ask({}).body, { rollups: null })
  t.end()
})

t.test('the same error of all workers is said once', (t) => {
  const away = (number: number): ReturnType<typeof slotOf> => slotOf({ number, report: reportOf({ database: database('retrying', 'refused') }) })
  const { body } = ask({ slots: [away(0), away(1)] })
  t.strictSame(body['reasons'], ['the database does not take points: refused'])
  t.match(body, { database: { state: 'down' } })
  t.end()
})

t.test('a restart an hour ago is no longer worth a mention', (t) => {
  t.match(ask({ slots: [slotOf({ restarts: 4, lastDeath: 'exit code 1' })] }), { status: 200, body: { status: 'healthy' } })
  t.end()
})

t.test('unhealthy: nobody accepts points', (t) => {
  const states = ['starting', 'waiting', 'stopping', 'gone'] as const
  for (const slots of [[], ...states.map((state) => [slotOf({ state })]), [slotOf({ report: reportOf({ pressure: 'hard' }) }), slotOf({ number: 1, state: 'waiting' })]]) {
    const { status, body } = ask({ slots })
    t.equal(status, 503)
    t.equal(body['status'], 'unhealthy')
  }
  t.end()
})

t.test('shows each worker, also without a report', (t) => {
  const slots = [
    slotOf({ restarts: 2, report: reportOf({ waiting: 7, backlog: { frames: 1, rows: 7, bytes: 99, oldestMs: 1 } }) }),
    slotOf({ number: 1, state: 'waiting', engine: '', report: null })
  ]
  t.strictSame(ask({ slots }).body['workers'], [
    { slot: 0, pid: null, state: 'ready', restarts: 2, engine: 'node', database: 'ready', limits_version: 1, waiting: 7, journal_bytes: 99 },
    { slot: 1, pid: null, state: 'waiting', restarts: 0, engine: '', database: null, limits_version: null, waiting: 0, journal_bytes: 0 }
  ])
  t.end()
})

t.test('points are those of all workers, the dead included, and are conserved', (t) => {
  const retired = pointsOf({ received: 12, accepted: 10, rejected: 2, committed: 9, failed: 1 })
  const slots = [
    slotOf({ report: reportOf({ points: pointsOf({ received: 5, accepted: 5, committed: 3 }), waiting: 2 }) }),
    slotOf({ number: 1, report: null }),
    slotOf({ number: 2, report: reportOf({ points: pointsOf({ received: 4, shed: 1, accepted: 3, quarantined: 3 }) }) })
  ]
  t.strictSame(ask({ slots, retired }).body['points'], { received: 21, rejected: 2, shed: 1, accepted: 18, recovered: 0, committed: 12, quarantined: 3, failed: 1, lost: 0, waiting: 2 })
  t.equal(retired.received, 12, 'what is retired is not changed by being shown')
  const sum = sumPoints(slots, retired)
  addPoints(sum, retired)
  t.equal(sum.received, 33)
  t.end()
})

t.test('UDP: counters of all UDP workers, the dead included', (t) => {
  const retiredUdp = new UdpTotals()
  retiredUdp.add(udpCountersOf({ packets: 10, taken: 7, gaps: 3, late: 1, kernelDrops: 4 }))
  const udp = (port: number, counters: Partial<UdpCounters>): WorkerReport => reportOf({ udp: { port, receiveBufferBytes: 1000, counters: udpCountersOf(counters) } })
  const slots = [
    slotOf(),
    slotOf({ number: 1, report: udp(8081, { packets: 5, taken: 4, shed: 1, shedPoints: 25, kernelDrops: 2 }) }),
    slotOf({ number: 2, report: udp(8082, { packets: 3, malformed: { ...udpCountersOf().malformed, empty: 3 } }) })
  ]
  const first = ask({ slots, retiredUdp }).body['udp']
  t.match(first, {
    packets: 18,
    taken: 11,
    gaps: 3,
    late: 1,
    missing: 2,
    shed: 1,
    shed_points: 25,
    kernel_drops: 6,
    malformed: { empty: 3, bad_shape: 0 },
    sockets: [{ port: 8081, receive_buffer_bytes: 1000 }, { port: 8082, receive_buffer_bytes: 1000 }]
  })
  t.strictSame(ask({ slots, retiredUdp }).body['udp'], first, 'asking changes nothing')
  t.match(ask({}).body['udp'], { packets: 0, kernel_drops: null, sockets: [] })
  t.end()
})
