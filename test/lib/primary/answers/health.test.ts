import assert from 'node:assert/strict'
import t from 'tap'
import { addPoints, healthAnswer, sumPoints, type HealthSources } from '../../../../lib/primary/answers/health.js'
import type { WorkerReport } from '../../../../lib/messages/messages.js'
import type { EngineChoice } from '../../../../lib/ingress/http/engines/load-engine.js'
import type { UdpCounters } from '../../../../lib/ingress/udp/dgram-listener.js'
import type { DrainState } from '../../../../lib/drain/drain.js'
import type { RollupStatus } from '../../../../lib/upkeep/rollups.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import { UdpTotals } from '../../../../lib/primary/answers/udp-totals.js'
import { PointCounters } from '../../../../lib/pipeline/pipeline.js'
import { pointsOf, reportOf, slotOf, udpCountersOf } from '../../../support/programs/slots.js'

const ENGINE: EngineChoice = {
  name: 'uws',
  release: 'uws-pack 1.0.0',
  unsafe: [],
  cannot: ['HTTP/1.0'],
  advice: 'set HTTP_ENGINE=node'
}

function ask (changes: Partial<HealthSources>): { readonly status: number, readonly body: Record<string, unknown> } {
  const answer = healthAnswer({
    version: '1.2.3',
    startedMs: performance.now() - 5000,
    slots: [slotOf()],
    retired: new PointCounters(),
    retiredUdp: new UdpTotals(),
    database: { kind: 'plain', embedded: true },
    waitsFor: null,
    httpEngine: ENGINE,
    acknowledged: 'spooled: on the disk of this host',
    maintenanceError: null,
    rollups: null,
    reloadFaults: [],
    restartFault: null,
    tlsExpiresMs: null,
    openUdp: null,
    limits: { version: 3, complaint: null },
    ...changes
  })
  assert.equal(answer.contentType, 'application/json')
  return { status: answer.status, body: JSON.parse(answer.body) as Record<string, unknown> }
}

type DatabaseReport = WorkerReport['database']

function database (state: DrainState, lastError: string | null = null): DatabaseReport {
  return { state, lastError, retries: 0 }
}

function rollups (changes: Partial<RollupStatus>): RollupStatus {
  return { waitingMinutes: 0, remainingSeconds: null, failedBuckets: 0, failure: null, overdue: [], ...changes }
}

t.test('healthy: all workers are ready, nothing is wrong', (t) => {
  const { status, body } = ask({ slots: [slotOf(), slotOf({ number: 1 })] })
  t.equal(status, 200)
  t.match(body, {
    status: 'healthy',
    version: '1.2.3',
    http: ENGINE,
    uptime_seconds: 5,
    reasons: [],
    database: { kind: 'plain', embedded: true, state: 'up' }
  })
  t.ok(Math.abs(Date.parse(String(body['timestamp'])) - Date.now()) < 60_000)
  t.end()
})

t.test('degraded: points are accepted, and reasons say what is wrong', (t) => {
  const withReport = (changes: Partial<WorkerReport>, number = 0): Slot => slotOf({ number, report: reportOf(changes) })
  const withOther = (changes: Partial<Slot>): Partial<HealthSources> =>
    ({ slots: [slotOf(), slotOf({ number: 1, ...changes })] })
  const cases: Array<[string, Partial<HealthSources>, RegExp]> = [
    ['a worker is down',
      withOther({ state: 'waiting', lastDeath: 'signal SIGKILL', report: null }),
      /^worker 1 is waiting to be restarted after signal SIGKILL$/],
    ['a worker has not started yet', withOther({ state: 'starting', report: null }), /^worker 1 is starting$/],
    ['a worker has just been restarted',
      withOther({ restarts: 1, lastDeath: 'exit code 3', startedMs: performance.now() }),
      /^worker 1 was restarted after exit code 3$/],
    ['a worker hangs', withOther({ heardMs: performance.now() - 10_001 }),
      /^worker 1 does not respond; its figures are out of date$/],
    ['the soft limit', { slots: [withReport({ pressure: 'soft' })] },
      /^queue of worker 0 is nearly full \(soft limit\)$/],
    ['the hard limit of one of two',
      withOther({ report: reportOf({ pressure: 'hard' }) }),
      /^queue of worker 1 is full \(hard limit\)$/],
    ['UDP is open, HTTP is not', { openUdp: 'HTTP needs a token, but UDP' }, /^HTTP needs a token, but UDP$/],
    ['the database is down',
      { slots: [withReport({ database: database('retrying', 'refused') })] },
      /^database writes are failing: refused$/],
    ['the ledger does not match',
      { slots: [withReport({ database: database('halted', 'The ledger shows') })] },
      /The ledger shows/],
    ['a spool cannot be opened',
      { slots: [withReport({ complaints: ['the spool of slot-7 cannot be opened'] })] },
      /^the spool of slot-7 cannot be opened$/],
    ['maintenance fails', { maintenanceError: 'disk full' }, /maintenance is failing: disk full$/],
    ['a policy does not run',
      { rollups: rollups({ overdue: [{ view: 'rollup_1m', seconds: 300 }] }) },
      /^the refresh policy of rollup_1m is overdue \(last run 300 s ago\)/],
    ['a bucket fails',
      { rollups: rollups({ failedBuckets: 1, failure: 'overflow' }) },
      /left out: 1; most recently: overflow$/],
    ['history is rolled up',
      { rollups: rollups({ waitingMinutes: 43_200, remainingSeconds: 7_300 }) },
      /^43,200 minutes of rollups, for about 3h are still to be built; queries of that time are slower/],
    ['history on TimescaleDB',
      { database: { kind: 'timescale', embedded: false }, rollups: rollups({ waitingMinutes: 60 }) },
      /^60 minutes of rollups are still to be built; telemetry_10s and telemetry_1m are incomplete/]
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

t.test('rollups: a usual backlog is shown, but is not a reason', (t) => {
  t.match(ask({ rollups: rollups({ waitingMinutes: 59, remainingSeconds: 3 }) }).body, {
    status: 'healthy',
    rollups: { waiting_minutes: 59, remaining_seconds: 3, failed_buckets: 0, overdue_policies: [] }
  })
  t.match(ask({}).body, { rollups: null })
  t.end()
})

t.test('an error shared by all workers is shown once', (t) => {
  const report = reportOf({ database: database('retrying', 'refused') })
  const { body } = ask({ slots: [slotOf({ report }), slotOf({ number: 1, report })] })
  t.strictSame(body['reasons'], ['database writes are failing: refused'])
  t.match(body, { database: { state: 'down' } })
  t.end()
})

t.test('a restart an hour ago is not mentioned', (t) => {
  const slots = [slotOf({ restarts: 4, lastDeath: 'exit code 1' })]
  t.match(ask({ slots }), { status: 200, body: { status: 'healthy' } })
  t.end()
})

t.test('unhealthy: no worker accepts points', (t) => {
  const states = ['starting', 'waiting', 'stopping', 'gone'] as const
  const fullAndDown = [slotOf({ report: reportOf({ pressure: 'hard' }) }), slotOf({ number: 1, state: 'waiting' })]
  for (const slots of [[], ...states.map((state) => [slotOf({ state })]), fullAndDown]) {
    const { status, body } = ask({ slots })
    t.equal(status, 503)
    t.equal(body['status'], 'unhealthy')
  }
  t.end()
})

t.test('shows every worker, even without a report', (t) => {
  const slots = [
    slotOf({ restarts: 2, report: reportOf({ waiting: 7, backlog: { frames: 1, rows: 7, bytes: 99, oldestMs: 1 } }) }),
    slotOf({ number: 1, state: 'waiting', engine: '', report: null })
  ]
  t.strictSame(ask({ slots }).body['workers'], [
    {
      slot: 0,
      pid: null,
      state: 'ready',
      restarts: 2,
      engine: 'node',
      database: 'ready',
      limits_version: 1,
      waiting: 7,
      journal_bytes: 99
    },
    {
      slot: 1,
      pid: null,
      state: 'waiting',
      restarts: 0,
      engine: '',
      database: null,
      limits_version: null,
      waiting: 0,
      journal_bytes: 0
    }
  ])
  t.end()
})

t.test('points of all workers, past and present, are conserved', (t) => {
  const retired = pointsOf({ received: 12, accepted: 10, rejected: 2, committed: 9, failed: 1 })
  const slots = [
    slotOf({ report: reportOf({ points: pointsOf({ received: 5, accepted: 5, committed: 3 }), waiting: 2 }) }),
    slotOf({ number: 1, report: null }),
    slotOf({ number: 2, report: reportOf({ points: pointsOf({ received: 4, shed: 1, accepted: 3, quarantined: 3 }) }) })
  ]
  t.strictSame(ask({ slots, retired }).body['points'], {
    received: 21,
    rejected: 2,
    shed: 1,
    accepted: 18,
    recovered: 0,
    replicated: 0,
    committed: 12,
    quarantined: 3,
    failed: 1,
    lost: 0,
    waiting: 2
  })
  t.equal(retired.received, 12, 'showing the counts does not change them')
  const sum = sumPoints(slots, retired)
  addPoints(sum, retired)
  t.equal(sum.received, 33)
  t.end()
})

t.test('UDP: counters of all UDP workers, past and present', (t) => {
  const retiredUdp = new UdpTotals()
  retiredUdp.add(udpCountersOf({ packets: 10, taken: 7, gaps: 3, late: 1, kernelDrops: 4 }))
  const udp = (port: number, counters: Partial<UdpCounters>): WorkerReport =>
    reportOf({ udp: { port, receiveBufferBytes: 1000, counters: udpCountersOf(counters) } })
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
