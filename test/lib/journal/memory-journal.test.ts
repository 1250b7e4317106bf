import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import type { ClosedBatch, FrameRun } from '../../../lib/journal/journal.js'
import { MemoryJournal } from '../../../lib/journal/memory-journal.js'

const EPOCH = 7

function journalOf (bytesMax = 1_000_000): MemoryJournal {
  return new MemoryJournal({ spoolId: 'test/0', epoch: EPOCH, bytesMax })
}

class Batch implements ClosedBatch {
  readonly payload: Buffer
  readonly told: string[] = []

  constructor (readonly name: number, readonly rows = 1, bytes = 10) {
    this.payload = Buffer.alloc(bytes, name)
  }

  spooled (error: string | null): void {
    this.told.push(`spooled ${String(error)}`)
  }

  committed (error: string | null): void {
    this.told.push(`committed ${String(error)}`)
  }
}

const STORED = ['spooled null', 'committed null']

function fill (journal: MemoryJournal, count: number): Batch[] {
  const batches = Array.from({ length: count }, (_, i) => new Batch(i + 1))
  for (const batch of batches) journal.append(batch)
  return batches
}

async function takeSome (journal: MemoryJournal, bytesMax: number): Promise<FrameRun> {
  const run = await journal.take(bytesMax)
  if (run === null) throw new Error('the journal has ended')
  return run
}

t.test('frames are numbered from 1 and taken up to bytesMax, at least one', async (t) => {
  const journal = journalOf()
  fill(journal, 4)
  const first = await takeSome(journal, 25)
  t.match(first, { epoch: EPOCH, firstSequence: 1, lastSequence: 2, rows: 2, bytes: 20 })
  t.strictSame(first.payloads.map((payload) => payload[0]), [1, 2])
  t.match(await takeSome(journal, 1), { firstSequence: 3, lastSequence: 3, rows: 1, bytes: 10 })
  t.match(await takeSome(journal, 10), { firstSequence: 4, lastSequence: 4 })
})

t.test('take waits for a frame', async (t) => {
  const journal = journalOf()
  const taking = journal.take(100)
  journal.append(new Batch(1))
  t.match(await taking, { firstSequence: 1, lastSequence: 1 })
  const again = journal.take(100)
  journal.append(new Batch(2))
  t.match(await again, { firstSequence: 2, lastSequence: 2 })
})

t.test('release tells batches once and makes the journal idle', async (t) => {
  const journal = journalOf()
  let idles = 0
  journal.listeners.add({ onIdle: () => { idles++ } })
  t.equal(journal.idle, true)
  const batches = fill(journal, 3)
  t.equal(journal.idle, false)
  const first = await takeSome(journal, 20)
  journal.release(first)
  t.strictSame(batches.map(({ told }) => told), [STORED, STORED, []])
  t.equal(idles, 0)
  journal.release(first)
  t.strictSame(batches.map(({ told }) => told), [STORED, STORED, []], 'a second release of a run does nothing')
  journal.release(await takeSome(journal, 20))
  t.strictSame(batches[2]?.told, STORED)
  t.equal(idles, 1)
  t.equal(journal.idle, true)
})

t.test('a batch appended from a callback gets its own number', async (t) => {
  const journal = journalOf()
  const late = new Batch(2)
  const first = new Batch(1)
  first.spooled = () => journal.append(late)
  journal.append(first)
  journal.release(await takeSome(journal, 100))
  t.strictSame(late.told, [])
  t.match(await takeSome(journal, 100), { firstSequence: 2, lastSequence: 2 })
})

t.test('backlog and pressure count waiting frames', async (t) => {
  const journal = journalOf(20)
  t.strictSame(journal.backlog(), { frames: 0, rows: 0, bytes: 0, oldestMs: 0 })
  t.equal(journal.pressure(), 'none')
  journal.append(new Batch(1, 5, 16))
  t.equal(journal.pressure(), 'soft')
  journal.append(new Batch(2, 6, 4))
  t.equal(journal.pressure(), 'hard')
  t.match(journal.backlog(), { frames: 2, rows: 11, bytes: 20 })
  journal.release(await takeSome(journal, 1))
  t.equal(journal.pressure(), 'none')
  t.match(journal.backlog(), { frames: 1, rows: 6, bytes: 4 })
})

t.test('the age of the oldest frame follows the monotonic clock', (t) => {
  const journal = journalOf()
  const { now } = Date
  t.teardown(() => { Date.now = now })
  journal.append(new Batch(1))
  Date.now = () => now() - 3_600_000
  const { oldestMs } = journal.backlog()
  t.ok(oldestMs >= 0 && oldestMs < 60_000, `is ${oldestMs} after the clock was set back`)
  t.end()
})

t.test('resume hands out taken frames again, twice in a row', async (t) => {
  const journal = journalOf()
  fill(journal, 3)
  for (let turn = 0; turn < 2; turn++) {
    t.match(await takeSome(journal, 100), { firstSequence: 1, lastSequence: 3 })
    t.equal(journal.resume({ epoch: EPOCH, sequence: 0, epochId: null }), null)
  }
})

t.test('resume releases the frames that the ledger covers, and continues after them', async (t) => {
  const journal = journalOf()
  const batches = fill(journal, 3)
  await journal.take(20)
  t.equal(journal.resume({ epoch: EPOCH, sequence: 2, epochId: null }), null)
  t.strictSame(batches.map(({ told }) => told), [STORED, STORED, []])
  t.match(await takeSome(journal, 100), { firstSequence: 3, lastSequence: 3 })
  t.equal(journal.resume({ epoch: EPOCH, sequence: 3, epochId: null }), null)
  t.equal(journal.idle, true)
})

t.test('resume before the first frame: no row, or that of an earlier epoch', async (t) => {
  const rows = [{ epoch: 0, sequence: 0 }, { epoch: EPOCH - 1, sequence: 900 }, { epoch: EPOCH, sequence: 0 }]
  for (const position of [null, ...rows.map((row) => ({ ...row, epochId: null }))]) {
    const journal = journalOf()
    fill(journal, 2)
    t.equal(journal.resume(position), null)
    t.match(await takeSome(journal, 100), { firstSequence: 1, lastSequence: 2 })
  }
})

t.test('a ledger that does not match is a fault, and nothing is acknowledged', async (t) => {
  const cases = [
    { position: null, kind: 'ledger_missing' },
    { position: { epoch: EPOCH, sequence: 0, epochId: null }, kind: 'ledger_behind' },
    { position: { epoch: EPOCH - 1, sequence: 50, epochId: null }, kind: 'ledger_behind' },
    { position: { epoch: EPOCH, sequence: 4, epochId: null }, kind: 'ledger_ahead' },
    { position: { epoch: EPOCH + 1, sequence: 0, epochId: null }, kind: 'ledger_ahead' },
    { position: { epoch: EPOCH, sequence: 2, epochId: 'ab'.repeat(16) }, kind: 'ledger_ahead' }
  ]
  for (const { position, kind } of cases) {
    const journal = journalOf()
    const batches = fill(journal, 3)
    journal.release(await takeSome(journal, 1))
    const fault = journal.resume(position)
    t.equal(fault?.kind, kind)
    const shown = position === null ? 'has no row for test/0' : `epoch ${position.epoch}, frame ${position.sequence}`
    t.match(fault?.message, shown)
    t.strictSame(batches.slice(1).map(({ told }) => told), [[], []])
  }
})

t.test('after end: no appends, take continues until empty', async (t) => {
  const journal = journalOf()
  const [first] = fill(journal, 1)
  journal.end()
  const late = new Batch(9)
  journal.append(late)
  t.strictSame(late.told, ['spooled shutting_down'])
  journal.release(await takeSome(journal, 100))
  t.strictSame(first?.told, STORED)
  t.equal(await journal.take(100), null)
})

t.test('end and close wake a waiting take', async (t) => {
  const ended = journalOf()
  const taking = ended.take(1)
  ended.end()
  t.equal(await taking, null)
  const closed = journalOf()
  const waiting = closed.take(1)
  await closed.close()
  t.equal(await waiting, null)
})

t.test('an interruption in the same moment as a frame does not end the next take', async (t) => {
  const journal = journalOf()
  const taking = takeSome(journal, 100)
  journal.append(new Batch(1))
  journal.interrupt()
  journal.release(await taking)
  const waiting = journal.take(100)
  journal.append(new Batch(2))
  t.match(await waiting, { firstSequence: 2, lastSequence: 2 })
})

t.test('close tells all waiting batches, once, that the outcome is unknown', async (t) => {
  const journal = journalOf()
  const batches = fill(journal, 3)
  const run = await takeSome(journal, 20)
  await journal.close()
  await journal.close()
  const unknown = batches.map(() => ['spooled outcome_unknown'])
  t.strictSame(batches.map(({ told }) => told), unknown)
  journal.release(run)
  t.strictSame(batches.map(({ told }) => told), unknown, 'a late commit is ignored')
  t.strictSame(journal.backlog(), { frames: 0, rows: 0, bytes: 0, oldestMs: 0 })
  t.equal(await journal.take(1), null)
})

/** One step of a drain or a batcher. */
type Step =
  | { readonly kind: 'append' | 'rewind' | 'release' }
  | { readonly kind: 'take', readonly bytesMax: number }
  /** After a lost connection, the oldest of the taken runs turn out to be committed. */
  | { readonly kind: 'covered', readonly runs: number }

const steps: fc.Arbitrary<Step[]> = fc.array(fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Step>({ kind: 'append' }, { kind: 'release' }) },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 50 }).map((bytesMax): Step => ({ kind: 'take', bytesMax })) },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: 'rewind' }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('covered' as const), runs: fc.nat({ max: 3 }) }) }
), { maxLength: 60 })

/** A journal and its expected state: the last frame committed, and the runs taken. */
class Model {
  readonly journal = journalOf()
  readonly batches: Batch[] = []
  committed = 0
  out: FrameRun[] = []

  get given (): number {
    return this.out.at(-1)?.lastSequence ?? this.committed
  }

  async step (step: Step): Promise<void> {
    if (step.kind === 'append') this.append()
    else if (step.kind === 'take') await this.take(step.bytesMax)
    else if (step.kind === 'release') this.release()
    else this.resume(step.kind === 'covered' ? step.runs : 0)
    this.check()
  }

  append (): void {
    const { length } = this.batches
    const batch = new Batch(length + 1, length % 3 + 1, length % 20 + 1)
    this.batches.push(batch)
    this.journal.append(batch)
  }

  async take (bytesMax: number): Promise<void> {
    if (this.given === this.batches.length) return
    const run = await takeSome(this.journal, bytesMax)
    const frames = this.batches.slice(run.firstSequence - 1, run.lastSequence)
    assert.equal(run.firstSequence, this.given + 1)
    assert.deepEqual(run.payloads.map((payload) => payload[0]), frames.map(({ name }) => name))
    assert.equal(run.rows, frames.reduce((sum, { rows }) => sum + rows, 0))
    assert.equal(run.bytes, frames.reduce((sum, { payload }) => sum + payload.length, 0))
    assert.ok(run.payloads.length === 1 || run.bytes <= bytesMax)
    this.out.push(run)
  }

  release (): void {
    const run = this.out.shift()
    if (run === undefined) return
    this.journal.release(run)
    this.committed = run.lastSequence
  }

  resume (covered: number): void {
    this.committed = this.out.slice(0, covered).at(-1)?.lastSequence ?? this.committed
    this.out = []
    assert.equal(this.journal.resume({ epoch: EPOCH, sequence: this.committed, epochId: null }), null)
  }

  check (): void {
    this.batches.forEach(({ told }, i) => assert.deepEqual(told, i < this.committed ? STORED : []))
    const waiting = this.batches.slice(this.committed)
    const { frames, rows, bytes } = this.journal.backlog()
    assert.deepEqual({ frames, rows, bytes }, {
      frames: waiting.length,
      rows: waiting.reduce((sum, batch) => sum + batch.rows, 0),
      bytes: waiting.reduce((sum, batch) => sum + batch.payload.length, 0)
    })
    assert.equal(this.journal.idle, waiting.length === 0)
  }
}

t.test('property: frames come in order, none twice unless rewound, and each batch is told once', async (t) => {
  await fc.assert(fc.asyncProperty(steps, async (list) => {
    const model = new Model()
    for (const step of list) await model.step(step)
    const settled = model.committed
    await model.journal.close()
    model.batches.forEach(({ told }, i) => assert.deepEqual(told, i < settled ? STORED : ['spooled outcome_unknown']))
  }), { numRuns: 500 })
  t.pass()
})
