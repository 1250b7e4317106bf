import assert from 'node:assert/strict'
import t from 'tap'
import { HttpCounters } from '../../../../lib/ingress/http/api/counters.js'
import { countHttp } from '../../../../lib/worker/listener-http.js'
import type { MetricsJson } from '../../../../lib/messages/messages.js'
import { PassingAnswers } from '../../../../lib/primary/answers/passing-answers.js'
import { Reconciliation } from '../../../../lib/primary/counts/reconciliation.js'
import { PrimaryMetrics, type PrimaryMetricSources } from '../../../../lib/primary/answers/primary-metrics.js'
import type { Slot } from '../../../../lib/primary/slots.js'
import { WorkerMetrics } from '../../../../lib/worker/worker-metrics.js'
import { PointCounters } from '../../../../lib/pipeline/pipeline.js'
import { silentLog } from '../../../support/database/postgres.js'
import { reportOf, slotOf } from '../../../support/programs/slots.js'

/** A worker's counters, and the report it would send. */
class FakeWorker {
  readonly points = new PointCounters()
  readonly http = new HttpCounters(() => {})
  retries = 0
  waiting = 0
  readonly metrics: WorkerMetrics

  constructor (readonly slot: number) {
    this.metrics = new WorkerMetrics({
      slot,
      pipelines: { all: [], limitsVersion: 1 },
      lanes: {
        snapshot: () => reportOf({
          points: this.points,
          waiting: this.waiting,
          backlog: { frames: 1, rows: this.waiting, bytes: 10 * this.waiting, oldestMs: 1000 * this.waiting },
          database: { state: 'ready', lastError: null, retries: this.retries }
        })
      }
    })
    countHttp(this.metrics, this.http)
  }

  async report (): Promise<MetricsJson> {
    // What arrives over the channel.
    return JSON.parse(JSON.stringify(await this.metrics.toJson())) as MetricsJson
  }
}

interface Parsed {
  readonly values: Map<string, number>
  readonly types: Map<string, string>
  readonly helps: Set<string>
}

/** Parses the Prometheus text format, version 0.0.4; throws on a malformed line. */
function parse (text: string): Parsed {
  const parsed: Parsed = { values: new Map(), types: new Map(), helps: new Set() }
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const [, keyword, metric = '', text = ''] = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line) ?? []
    const [, sample = '', value] = /^([a-z_]+(?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})?) (\S+)$/.exec(line) ?? []
    if (keyword === 'HELP') parsed.helps.add(metric)
    else if (keyword === 'TYPE') parsed.types.set(metric, text)
    else if (Number.isFinite(Number(value)) && !parsed.values.has(sample)) parsed.values.set(sample, Number(value))
    else throw new Error(`malformed or duplicate line: ${line}`)
  }
  return parsed
}

async function scrape (metrics: PrimaryMetrics): Promise<Parsed> {
  const answer = await metrics.answer()
  assert.equal(answer.status, 200)
  assert.match(answer.contentType, /^text\/plain; version=0\.0\.4/)
  return parse(answer.body)
}

function metricsOf (slots: readonly Slot[], changes: Partial<PrimaryMetricSources> = {}): PrimaryMetrics {
  return new PrimaryMetrics({
    slots,
    restarts: () => slots.reduce((sum, { restarts }) => sum + restarts, 0),
    reconciliation: new Reconciliation(silentLog),
    passing: new PassingAnswers(),
    version: '1',
    databaseKind: 'plain',
    rollups: () => ({ waitingMinutes: null, remainingSeconds: null, failedBuckets: 0, failure: null, overdue: [] }),
    reloads: { ok: 0, failed: 0 },
    tlsExpiresMs: () => null,
    ...changes
  })
}

async function show (slot: Slot, worker: FakeWorker): Promise<void> {
  slot.report = reportOf({ metrics: await worker.report() })
}

/** A worker's death, as the primary handles it. */
function die (metrics: PrimaryMetrics, slot: Slot): void {
  if (slot.report !== null) metrics.keepDead(slot.report.metrics)
  slot.report = null
  slot.state = 'waiting'
  slot.restarts++
}

t.test('without workers: the primary\'s own metrics', async (t) => {
  const slots = [slotOf({ state: 'starting', report: null })]
  const { values, types } = await scrape(metricsOf(slots, { version: '1.2.3', databaseKind: 'timescale' }))
  t.equal(values.get('orbitstream_info{version="1.2.3",database="timescale"}'), 1)
  t.equal(values.get('orbitstream_workers{state="starting"}'), 1)
  t.equal(values.get('orbitstream_worker_restarts_total'), 0)
  t.equal(types.get('orbitstream_worker_restarts_total'), 'counter')
})

t.test('workers by state change with the workers', async (t) => {
  const slots = [slotOf({ report: null }), slotOf({ number: 1, report: null })]
  const metrics = metricsOf(slots)
  t.equal((await scrape(metrics)).values.get('orbitstream_workers{state="ready"}'), 2)
  die(metrics, slots[1]!)
  const { values } = await scrape(metrics)
  t.equal(values.get('orbitstream_workers{state="ready"}'), 1)
  t.equal(values.get('orbitstream_workers{state="waiting"}'), 1)
  t.equal(values.get('orbitstream_worker_restarts_total'), 1)
})

t.test('sums over workers; every metric has a help and a type', async (t) => {
  const workers = [new FakeWorker(0), new FakeWorker(1)]
  const slots = [slotOf(), slotOf({ number: 1 })]
  for (const [i, worker] of workers.entries()) {
    worker.points.received = 100 + i
    worker.retries = 2
    worker.waiting = 3 + i
    worker.metrics.observeCommit(50, 4)
    worker.metrics.observeBatch(5)
    worker.metrics.observeAck(1)
    await show(slots[i]!, worker)
  }
  const { values, types, helps } = await scrape(metricsOf(slots))
  t.equal(values.get('orbitstream_points_total{outcome="received"}'), 201)
  t.equal(values.get('orbitstream_database_retries_total'), 4)
  t.equal(values.get('orbitstream_points_waiting'), 7)
  t.equal(values.get('orbitstream_spool_bytes'), 70)
  t.equal(values.get('orbitstream_spool_oldest_seconds'), 4, 'the oldest of all')
  t.equal(values.get('orbitstream_database_connected_workers'), 2)
  t.equal(values.get('orbitstream_commit_seconds_count'), 2)
  t.equal(values.get('orbitstream_commit_seconds_bucket{le="0.005"}'), 2)
  t.equal(values.get('orbitstream_commit_seconds_bucket{le="0.002"}'), 0)
  t.equal(values.get('orbitstream_copy_points_sum'), 100)
  t.equal(values.get('orbitstream_batch_points_sum'), 10)
  t.ok(values.has('orbitstream_process_resident_bytes{slot="1"}'))
  for (const name of types.keys()) t.ok(helps.has(name), name)
  for (const sample of values.keys()) {
    const name = sample.replace(/\{.*/, '')
    t.ok(types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, '')) === 'histogram', sample)
  }
})

t.test('no sum ever falls, whichever worker dies between scrapes', async (t) => {
  const slots = [slotOf({ report: null }), slotOf({ number: 1, report: null })]
  const workers = [new FakeWorker(0), new FakeWorker(1)]
  const metrics = metricsOf(slots)
  let before = new Map<string, number>()
  let received = 0
  for (let turn = 0; turn < 12; turn++) {
    for (const [i, worker] of workers.entries()) {
      worker.points.received += 10
      worker.retries++
      worker.metrics.observeCommit(10, turn)
      await show(slots[i]!, worker)
      received += 10
    }
    if (turn % 2 === 1) {
      const dead = turn % 4 === 1 ? 0 : 1
      die(metrics, slots[dead]!)
      workers[dead] = new FakeWorker(dead)
    }
    const [{ values, types }] = await Promise.all([scrape(metrics), scrape(metrics)])
    for (const [sample, value] of before) {
      if (types.get(sample.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '')) === 'gauge') continue
      const now = values.get(sample)
      t.ok(now !== undefined && now >= value, `${sample}: ${String(now)} after ${value}`)
    }
    t.equal(values.get('orbitstream_points_total{outcome="received"}'), received)
    t.equal(values.get('orbitstream_database_retries_total'), 2 * (turn + 1))
    t.equal(values.get('orbitstream_commit_seconds_count'), 2 * (turn + 1))
    before = values
  }
})

t.test('the gauges of a dead worker disappear with it', async (t) => {
  const slots = [slotOf({ report: null })]
  const metrics = metricsOf(slots)
  for (let turn = 0; turn < 3; turn++) {
    const worker = new FakeWorker(0)
    worker.waiting = 5
    await show(slots[0]!, worker)
    t.equal((await scrape(metrics)).values.get('orbitstream_points_waiting'), 5)
    die(metrics, slots[0]!)
    t.equal((await scrape(metrics)).values.get('orbitstream_points_waiting') ?? 0, 0)
  }
})

t.test('the gauges of workers that are not replaced stay: their spools are still waiting', async (t) => {
  const slots = [slotOf(), slotOf({ number: 1 })]
  const metrics = metricsOf(slots)
  for (const slot of slots) {
    const worker = new FakeWorker(slot.number)
    worker.waiting = 5
    metrics.keepDead(await worker.report(), true)
    slot.report = null
  }
  t.equal((await scrape(metrics)).values.get('orbitstream_points_waiting'), 10)
})
