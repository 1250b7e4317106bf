import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import t from 'tap'
import { IngestStepCutter } from '../../../../lib/primary/counts/ingest-steps.js'
import type { MetricsJson } from '../../../../lib/messages/messages.js'
import { METRICS } from '../../../support/points/built-in.js'

const BEGIN_MS = Date.UTC(2026, 10, 24, 12, 0, 3)
const iso = (ms: number): string => new Date(ms).toISOString()

/** Counters, as summed up by the primary. */
class Counts {
  private readonly registers = [new Registry()]
  private readonly registry = this.registers[0]!
  private readonly shared = { help: '-', registers: this.registers }
  readonly points = new Counter({ ...this.shared, name: 'orbitstream_points_total', labelNames: ['outcome'] })
  readonly udpPoints = new Counter({ ...this.shared, name: 'orbitstream_udp_points_total' })
  readonly packets = new Counter({
    ...this.shared, name: 'orbitstream_udp_packets_total', labelNames: ['outcome']
  })

  readonly denied = new Counter({ ...this.shared, name: 'orbitstream_http_denied_total', labelNames: ['code'] })
  readonly gaps = new Counter({ ...this.shared, name: 'orbitstream_udp_gap_packets_total' })
  readonly late = new Counter({ ...this.shared, name: 'orbitstream_udp_late_packets_total' })
  readonly ack = new Histogram({ ...this.shared, name: 'orbitstream_ack_seconds', buckets: [0.001, 0.01, 0.1] })
  readonly anomalies = new Counter({
    ...this.shared, name: 'orbitstream_anomalies_total', labelNames: ['metric', 'severity']
  })

  readonly spool = new Gauge({ ...this.shared, name: 'orbitstream_spool_bytes' })
  readonly workers = new Gauge({ ...this.shared, name: 'orbitstream_workers', labelNames: ['state'] })

  async json (): Promise<MetricsJson> {
    return await this.registry.getMetricsAsJSON()
  }
}

t.test('steps end on multiples of ten seconds; the first begins with the server', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  t.same(cutter.pending(), [])
  counts.points.inc({ outcome: 'accepted' }, 30)
  counts.points.inc({ outcome: 'committed' }, 20)
  counts.points.inc({ outcome: 'replicated' }, 25)
  counts.udpPoints.inc(10)
  counts.spool.set(1_000)
  counts.workers.set({ state: 'ready' }, 3)
  counts.workers.set({ state: 'waiting' }, 1)
  cutter.sample(await counts.json(), BEGIN_MS + 2_000)
  t.match(cutter.pending(), [{
    time: iso(BEGIN_MS),
    instance: 'a',
    seconds: 2,
    http_points: 20,
    udp_points: 10,
    replicated_points: 25,
    committed_points: 20,
    spool_bytes: 1_000,
    workers_ready: 3
  }], 'an open step')
  counts.points.inc({ outcome: 'accepted' }, 70)
  cutter.sample(await counts.json(), BEGIN_MS + 7_500)
  counts.points.inc({ outcome: 'accepted' }, 5)
  counts.spool.set(500)
  cutter.sample(await counts.json(), BEGIN_MS + 8_500)
  const pending = cutter.pending()
  t.match(pending, [
    { time: iso(BEGIN_MS), seconds: 7.5, http_points: 90, spool_bytes: 1_000 },
    { time: iso(BEGIN_MS + 7_000), seconds: 1, http_points: 5, udp_points: 0, spool_bytes: 500 }
  ])
  t.equal(pending.length, 2)
  cutter.stored(pending)
  t.same(cutter.pending(), [], 'nothing has been counted since')
  cutter.sample(await counts.json(), BEGIN_MS + 9_000)
  t.match(cutter.pending(), [{ time: iso(BEGIN_MS + 7_000), seconds: 1.5 }], 'the open step is stored again')
})

t.test('what was denied is counted, by requests and by packets', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  counts.denied.inc({ code: 'unauthorized' }, 3)
  counts.denied.inc({ code: 'rate_limited' }, 4)
  counts.packets.inc({ outcome: 'taken' }, 10)
  counts.packets.inc({ outcome: 'denied' }, 5)
  cutter.sample(await counts.json(), BEGIN_MS + 1_000)
  t.match(cutter.pending(), [{ http_denied_requests: 7, udp_denied_packets: 5, udp_packets: 15 }])
})

t.test('counts that arrive while a step is being stored are kept', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  cutter.sample(await counts.json(), BEGIN_MS + 1_000)
  const read = cutter.pending()
  counts.points.inc({ outcome: 'committed' }, 9)
  cutter.sample(await counts.json(), BEGIN_MS + 7_100)
  cutter.stored(read)
  t.match(cutter.pending(), [{ committed_points: 9 }], 'the end of the step')
})

t.test('quantiles are of the step alone', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  for (let i = 0; i < 100; i++) counts.ack.observe(0.0005)
  cutter.sample(await counts.json(), BEGIN_MS + 7_000)
  t.match(cutter.pending()[0], { requests: 100, ack_p50_seconds: 0.0005, ack_p99_seconds: 0.00099 })
  cutter.sample(await counts.json(), BEGIN_MS + 8_000)
  t.match(cutter.pending()[1], { requests: 0, ack_p50_seconds: null, ack_p99_seconds: null })
  for (let i = 0; i < 10; i++) counts.ack.observe(0.05)
  cutter.sample(await counts.json(), BEGIN_MS + 9_000)
  const { ack_p50_seconds: p50, ack_p99_seconds: p99 } = cutter.pending()[1]!
  t.ok(Math.abs(p50! - 0.055) < 1e-9, String(p50))
  t.ok(p99! > 0.099 && p99! <= 0.1, String(p99))
  counts.ack.observe(3)
  cutter.sample(await counts.json(), BEGIN_MS + 10_000)
  t.equal(cutter.pending()[1]!.ack_p99_seconds, 0.1, 'above the last bound: the bound itself')
})

t.test('late packets reduce the missing ones', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  counts.gaps.inc(3)
  cutter.sample(await counts.json(), BEGIN_MS + 7_000)
  counts.late.inc(2)
  cutter.sample(await counts.json(), BEGIN_MS + 8_000)
  t.same(cutter.pending().map((step) => step.udp_missing_packets), [3, -2])
})

t.test('anomalies by metric and severity, without zero counts', async (t) => {
  const [{ name: first }, { name: second }] = METRICS
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  counts.anomalies.inc({ metric: first, severity: 'critical' }, 0)
  counts.anomalies.inc({ metric: first, severity: 'warning' }, 2)
  counts.anomalies.inc({ metric: second, severity: 'critical' }, 3)
  cutter.sample(await counts.json(), BEGIN_MS + 7_000)
  counts.anomalies.inc({ metric: second, severity: 'warning' }, 1)
  cutter.sample(await counts.json(), BEGIN_MS + 8_000)
  t.match(cutter.pending(), [
    { anomaly_kinds: `${first} warning,${second} critical`, anomaly_counts: [2, 3] },
    { anomaly_kinds: `${second} warning`, anomaly_counts: [1] }
  ])
})

t.test('an hour of steps is kept during a database outage', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  for (let step = 1; step <= 400; step++) cutter.sample(await counts.json(), BEGIN_MS + step * 10_000)
  const times = cutter.pending().map(({ time }) => time)
  t.equal(times.length, 360)
  t.equal(times.at(-1), iso(BEGIN_MS + 399 * 10_000 - 3_000), 'the newest')
})

t.test('a clock that is set back', async (t) => {
  const counts = new Counts()
  const cutter = new IngestStepCutter('a', BEGIN_MS)
  counts.points.inc({ outcome: 'committed' }, 1)
  cutter.sample(await counts.json(), BEGIN_MS + 7_500)
  cutter.sample(await counts.json(), BEGIN_MS + 7_500)
  t.equal(cutter.pending().length, 1, 'no step of zero length')
  counts.points.inc({ outcome: 'committed' }, 2)
  cutter.sample(await counts.json(), BEGIN_MS + 7_200)
  counts.points.inc({ outcome: 'committed' }, 4)
  cutter.sample(await counts.json(), BEGIN_MS + 8_000)
  const pending = cutter.pending()
  t.match(pending.map(({ time, committed_points: points, seconds }) => [time, points, seconds]), [
    [iso(BEGIN_MS), 1, 7.5],
    [iso(BEGIN_MS + 7_000), 4, 0.8]
  ])
  t.equal(new Set(pending.map(({ time }) => time)).size, pending.length, 'no duplicate times')
  cutter.stored(pending)
  t.same(cutter.pending(), [], 'the earlier step of that time is not stored after the one that replaced it')
})
