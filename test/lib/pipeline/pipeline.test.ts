import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { STORED_AS_SET, Stream } from '../../../protocol/catalogue.js'
import { STREAM, TELEMETRY } from '../../support/points/built-in.js'
import type { AckLevel } from '../../../lib/pipeline/intake.js'
import type { FrameRun, Journal } from '../../../lib/journal/journal.js'
import { LimitTable } from '../../../lib/limits/limit-table.js'
import { MemoryJournal } from '../../../lib/journal/memory-journal.js'
import { conservationError, Pipeline } from '../../../lib/pipeline/pipeline.js'
import { COMMIT_WAITERS_MAX } from '../../../lib/pipeline/waiters.js'
import { ManualJournal } from '../../support/journals/manual-journal.js'

const NO_LIMITS = new LimitTable({ version: 1, set: { default: {}, overrides: {} } }, TELEMETRY)
const SETTINGS = {
  timeWindowPastMs: 1,
  timeWindowFutureMs: 1,
  unknownFields: 'reject',
  batchSize: 8,
  batchTimeoutMs: 3_600_000,
  fullCode: 'spool_full'
} as const

t.test('a point that the retention of its stream would drop is refused', (t) => {
  const windowOf = (retentionMs: number | null): number => {
    const { id, name, title, intervalMs, metrics, retired } = STREAM
    const storage = { ...STORED_AS_SET, retentionMs }
    const stream = new Stream({ id, name, title, intervalMs, metrics, retired, storage })
    return new Pipeline(new ManualJournal(), { ...SETTINGS, timeWindowPastMs: 100 }, stream, NO_LIMITS)
      .rules.timeWindowPastMs
  }
  t.same([null, 70, 200].map(windowOf), [100, 70, 100])
  t.end()
})

function waitingOf (pipeline: Pipeline, journal: Journal): number {
  return pipeline.openRows + journal.backlog().rows
}

function fillColumns (pipeline: Pipeline, count: number): void {
  pipeline.columns.clear()
  for (let i = 0; i < count; i++) pipeline.columns.push(pipeline.satellites.byId('SAT')!, 1.7e15)
}

t.test('refuses points when the journal is full, and after stop', (t) => {
  const journal = new ManualJournal()
  const pipeline = new Pipeline(journal, SETTINGS, STREAM, NO_LIMITS)
  t.equal(pipeline.refusal('spooled'), null)
  journal.pressureNow = 'soft'
  t.equal(pipeline.refusal('spooled')?.code, 'too_busy')
  journal.pressureNow = 'hard'
  t.equal(pipeline.refusal('spooled')?.code, 'spool_full')
  pipeline.stop()
  t.equal(pipeline.refusal('spooled')?.code, 'shutting_down')
  t.end()
})

t.test('the number of requests waiting for a commit is bounded; others are still accepted', (t) => {
  const journal = new ManualJournal()
  const pipeline = new Pipeline(journal, SETTINGS, STREAM, NO_LIMITS)
  let told = 0
  for (let index = 0; index < COMMIT_WAITERS_MAX; index++) {
    t.equal(pipeline.refusal('committed'), null)
    fillColumns(pipeline, 1)
    pipeline.offer('committed', () => { told++ })
  }
  t.match(pipeline.refusal('committed'), { code: 'too_busy' })
  t.equal(pipeline.refusal('spooled'), null)
  pipeline.stop()
  for (const batch of journal.batches) batch.spooled(null)
  t.equal(told, 0)
  for (const batch of journal.batches) batch.committed(null)
  t.equal(told, COMMIT_WAITERS_MAX)
  t.equal(pipeline.batcher.committing, 0)
  t.end()
})

t.test('satellites of accepted points are kept, others are not', (t) => {
  const pipeline = new Pipeline(new ManualJournal(), SETTINGS, STREAM, NO_LIMITS)
  const { satellites } = pipeline
  const indexOf = (id: string): number | undefined => {
    satellites.begin()
    pipeline.columns.clear()
    pipeline.columns.push(satellites.byId(id)!, 1.7e15)
    return pipeline.columns.satellites[0]?.index
  }
  t.equal(indexOf('not offered'), 0)
  t.equal(indexOf('taken'), 0)
  pipeline.offer('received', () => {})
  t.equal(indexOf('next'), 1)
  pipeline.stop()
  pipeline.offer('received', () => {})
  t.equal(indexOf('after the stop'), 1)
  t.end()
})

t.test('no points: accepted at once, without a batch', (t) => {
  const journal = new ManualJournal()
  const pipeline = new Pipeline(journal, SETTINGS, STREAM, NO_LIMITS)
  const told: unknown[] = []
  pipeline.offer('committed', (error) => told.push(error))
  t.strictSame(told, [null])
  pipeline.batcher.close()
  t.equal(journal.batches.length, 0)
  t.end()
})

t.test('stop closes the open batch', (t) => {
  const journal = new ManualJournal()
  journal.idle = false
  const pipeline = new Pipeline(journal, SETTINGS, STREAM, NO_LIMITS)
  fillColumns(pipeline, 3)
  pipeline.offer('spooled', () => {})
  t.equal(waitingOf(pipeline, journal), 3)
  pipeline.stop()
  t.strictSame(journal.batches.map(({ rows }) => rows), [3])
  t.equal(waitingOf(pipeline, journal), 3)
  t.end()
})

t.test('points offered after stop are refused at every level: none are acknowledged and then dropped', (t) => {
  const journal = new MemoryJournal({ spoolId: 'test/0', epoch: 1, bytesMax: 1000 })
  const pipeline = new Pipeline(journal, SETTINGS, STREAM, NO_LIMITS)
  pipeline.stop()
  journal.end()
  const told: unknown[] = []
  for (const ack of ['received', 'spooled', 'committed'] as const) {
    fillColumns(pipeline, 2)
    pipeline.offer(ack, (error) => told.push(error))
  }
  t.strictSame(told, ['shutting_down', 'shutting_down', 'shutting_down'])
  t.match(pipeline.snapshot(), { received: 6, accepted: 6, failed: 6 })
  t.equal(waitingOf(pipeline, journal), 0)
  t.end()
})

type Step =
  | { readonly kind: 'offer', readonly count: number, readonly ack: AckLevel }
  | { readonly kind: 'reject' | 'shed', readonly count: number }
  | { readonly kind: 'close' | 'take' | 'commit' | 'quarantine' | 'rewind' | 'end' | 'give up' | 'turn' }

type PlainStep = Exclude<Step, { readonly count: number }>

const count = fc.integer({ min: 0, max: 12 })
const ackLevels = fc.constantFrom<AckLevel>('received', 'spooled', 'committed')
const stepOf = (...kinds: Array<PlainStep['kind']>): fc.Arbitrary<PlainStep> => (
  fc.constantFrom(...kinds).map((kind) => ({ kind }))
)
const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('offer' as const), count, ack: ackLevels }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reject' as const, 'shed' as const), count }) },
  { weight: 4, arbitrary: stepOf('take', 'commit', 'quarantine', 'close', 'turn') },
  { weight: 1, arbitrary: stepOf('rewind', 'end', 'give up') }
), { maxLength: 60 })

/** A pipeline, a drain played by hand, and how often each offer was acknowledged. */
class Plant {
  readonly journal = new MemoryJournal({ spoolId: 'test/0', epoch: 1, bytesMax: 100_000 })
  readonly pipeline = new Pipeline(this.journal, SETTINGS, STREAM, NO_LIMITS)
  readonly told: number[] = []
  private out: FrameRun | null = null
  private released = 0
  private quarantined = 0

  async step (step: Step): Promise<void> {
    switch (step.kind) {
      case 'offer': { this.offer(step.count, step.ack); return }
      case 'reject': { this.pipeline.reject(step.count); return }
      case 'shed': { this.pipeline.shed(step.count); return }
      case 'close': { this.pipeline.batcher.close(); return }
      case 'take':
        if (this.journal.backlog().frames > 0) this.out ??= await this.journal.take(500)
        return
      case 'commit': { this.commit(0); return }
      case 'quarantine': { this.commit(1); return }
      case 'rewind':
        this.out = null
        assert.equal(this.journal.resume({ epoch: 1, sequence: this.released, epochId: null }), null)
        return
      case 'end':
        this.pipeline.stop()
        this.journal.end()
        return
      case 'give up':
        this.pipeline.stop()
        this.out = null
        await this.journal.close()
        return
      case 'turn':
        await new Promise((resolve) => setImmediate(resolve))
    }
  }

  private offer (points: number, ack: AckLevel): void {
    fillColumns(this.pipeline, points)
    const waiter = this.told.push(0) - 1
    this.pipeline.offer(ack, () => { this.told[waiter]!++ })
  }

  private commit (quarantined: number): void {
    if (this.out === null) return
    this.released = this.out.lastSequence
    this.quarantined += quarantined
    this.journal.release(this.out)
    this.out = null
  }

  check (): void {
    const points = this.pipeline.snapshot()
    points.quarantined = this.quarantined
    points.committed = this.journal.releasedRows - this.quarantined
    assert.equal(conservationError(points, waitingOf(this.pipeline, this.journal)), 0)
    assert.notEqual(conservationError(points, waitingOf(this.pipeline, this.journal) + 1), 0)
    for (const times of this.told) assert.ok(times <= 1, 'acknowledged twice')
  }
}

t.test('property: all points are accounted for, and every offer is acknowledged once', async (t) => {
  await fc.assert(fc.asyncProperty(steps, async (list) => {
    const plant = new Plant()
    for (const step of list) {
      await plant.step(step)
      plant.check()
    }
    await plant.step({ kind: 'turn' })
    await plant.step({ kind: 'give up' })
    plant.check()
    assert.equal(waitingOf(plant.pipeline, plant.journal), 0)
    assert.ok(plant.told.every((times) => times === 1), 'an offer was never acknowledged')
  }), { numRuns: 400 })
  t.pass()
})
