/** The spool through its interface, on the real file system. */
import t from 'tap'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openSpool } from '../../../lib/spool/open-spool.js'
import { realFiles, type Files, type OpenFile } from '../../../lib/spool/file-system.js'
import type { Position } from '../../../lib/journal/journal.js'
import { POSITION_START } from '../../../lib/spool/format/position.js'
import { GROUP_FRAMES_MAX, newId } from '../../../lib/spool/format/segment.js'
import { TestBatch, appendAll, drain, ledgerAt, makeDirectory, openTestSpool, ROW_FORMAT } from './support.js'

const names = (count: number, prefix = 'frame'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index + 1}`)

t.test('a frame is returned once it is durable, and freed once it is released', async (t) => {
  const { spool, recovery } = await openTestSpool(t, { directory: await makeDirectory(t) })
  t.match(recovery, { frames: 0, rows: 0, gaps: [], tornBytes: 0, segments: 0 })
  t.equal(spool.resume(null), null)
  const [batch] = await appendAll(spool, ['one'])
  t.same(batch!.spooledAnswers, [null])
  t.match(spool.backlog(), { frames: 1, rows: 1, bytes: 3 })
  const run = await spool.take(1000)
  t.match(run, { epoch: spool.epoch, firstSequence: 1, lastSequence: 1, rows: 1, bytes: 3 })
  t.same(batch!.committedAnswers, [])
  spool.release(run!)
  t.same(batch!.committedAnswers, [null])
  t.match(spool.backlog(), { frames: 0, rows: 0, bytes: 0, oldestMs: 0 })
})

t.test('unreleased frames are returned after a start, until the ledger covers them', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  first.spool.resume(null)
  await appendAll(first.spool, names(5))
  t.equal((await first.spool.take(1_000))?.rows, 5)
  await first.spool.close()

  const second = await openTestSpool(t, { directory })
  t.equal(second.spool.spoolId, first.spool.spoolId)
  t.ok(second.spool.epoch > first.spool.epoch)
  t.match(second.recovery, { frames: 5, rows: 5, gaps: [], tornBytes: 0 })
  t.equal(second.spool.resume(ledgerAt(first.spool, 2)), null)
  await appendAll(second.spool, ['later'])
  const { texts, positions } = await drain(second.spool)
  t.same(texts, ['frame-3', 'frame-4', 'frame-5', 'later'])
  t.same(positions.map((position) => position.sequence), [3, 4, 5, 1])
  t.match(second.spool, { recoveredRows: 5, releasedRows: 6 }, 'what the ledger covered already counts as released')
  await second.spool.close()

  const third = await openTestSpool(t, { directory })
  t.equal(third.recovery.frames <= 1, true, 'segments that are released are removed')
  t.equal(third.spool.resume(ledgerAt(second.spool, 1)), null)
  t.equal(third.spool.backlog().frames, 0)
})

t.test('segments rotate at their size, and are removed once released', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 1024 })
  spool.resume(null)
  await appendAll(spool, names(50, 'x'.repeat(100)))
  t.ok(spool.segments > 5)
  const { texts } = await drain(spool, 300)
  t.equal(texts.length, 50)
  t.ok(spool.segments <= 2)
  await spool.close()
  const left = (await readdir(directory)).filter((name) => name.endsWith('.seg'))
  t.ok(left.length <= 2, `${left.length} segments`)
})

t.test('beyond the memory limit frames are read back from disk, in order, and their batches answered', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 4096, memoryMaxBytes: 3000 })
  spool.resume(null)
  const texts = names(200)
  const batches: TestBatch[] = []
  for (const text of texts) {
    const batch = new TestBatch(text, 2, batches.length % 2 === 0)
    batches.push(batch)
    spool.append(batch)
    await batch.whenSpooled
  }
  t.match(spool.backlog(), { frames: 200, rows: 400 })
  t.equal(batches[198]!.payload.length, 0, 'the payload is let go')
  const first = await spool.take(50)
  const firstTexts = first!.payloads.map(String)
  spool.release(first!)
  await appendAll(spool, ['while draining'])
  const rest = await drain(spool, 50)
  t.same([...firstTexts, ...rest.texts], [...texts, 'while draining'])
  t.ok(spool.counters.framesReadBack > 100)
  t.match(spool.backlog(), { frames: 0, rows: 0, bytes: 0 })
  for (const batch of batches) {
    if (batch.awaitsCommit) t.same(batch.committedAnswers, [null])
  }
})

t.test('an unknown outcome: resume() releases what the ledger covers, and take() returns the rest again', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  spool.resume(null)
  const batches = await appendAll(spool, names(4))
  await spool.take(1000)
  t.equal(spool.resume(ledgerAt(spool, 3)), null)
  t.same(batches.map((batch) => batch.committedAnswers.length), [1, 1, 1, 0])
  t.same((await drain(spool)).texts, ['frame-4'])
})

t.test('a run is released once, and in the order of take()', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  spool.resume(null)
  await appendAll(spool, names(3))
  const first = await spool.take(1)
  const second = await spool.take(1)
  t.throws(() => { spool.release(second!) }, /not the oldest/)
  spool.release(first!)
  t.throws(() => { spool.release(first!) }, /not the oldest/)
  spool.release(second!)
  t.match(await spool.take(1), { firstSequence: 3 })
  const pending = spool.take(1)
  await t.rejects(spool.take(1), /during take/)
  await appendAll(spool, ['fourth'])
  t.match(await pending, { firstSequence: 4 })
})

t.test('a connection that is lost while reading back fails does not end the next take()', async (t) => {
  const opening: { fail: (() => void) | null } = { fail: null }
  const files: Files = {
    ...realFiles,
    open: async (path, mode) => {
      opening.fail?.()
      return await realFiles.open(path, mode)
    }
  }
  const { spool } = await openTestSpool(t, { files, directory: await makeDirectory(t), memoryMaxBytes: 1 })
  spool.resume(null)
  await appendAll(spool, ['kept'])
  opening.fail = () => {
    spool.interrupt()
    throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' })
  }
  await t.rejects(spool.take(10), { code: 'EMFILE' })
  opening.fail = null
  t.equal(spool.resume(POSITION_START), null)
  t.match(await spool.take(10), { firstSequence: 1, rows: 1 })
})

t.test('requests that no longer wait for the commit take no memory while frames are only on disk', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t), memoryMaxBytes: 1 })
  spool.resume(null)
  const batches = await appendAll(spool, names(3))
  // Told at their deadline that the points are on disk.
  for (const batch of batches) batch.awaitsCommit = false
  const [waits] = await appendAll(spool, ['waits'])
  t.equal((await drain(spool)).texts.length, 4)
  t.same(batches.map((batch) => batch.committedAnswers), [[], [], []], 'they were let go')
  t.same(waits!.committedAnswers, [null])
})

t.test('a ledger in the middle of a segment: rows add up', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  first.spool.resume(null)
  await appendAll(first.spool, names(3000, 'n'))
  t.equal((await first.spool.take(1_000_000))?.rows, 3000)
  await first.spool.close()
  const { spool } = await openTestSpool(t, { directory, memoryMaxBytes: 1000 })
  spool.resume(ledgerAt(first.spool, 1200))
  t.equal((await drain(spool, 5000)).texts[0], 'n-1201')
  t.match(spool.counters, { recoveredRows: 3000, rowsReleased: 3000, rowsLost: 0 })
})

t.test('a payload too large for a frame is a programming error', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  const batch = new TestBatch('')
  batch.payload = Buffer.alloc(64 * 1024 * 1024 + 1)
  t.throws(() => { spool.append(batch) }, RangeError)
})

t.test('a ledger of another spool stops the drain', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  t.match(spool.resume({ epoch: spool.epoch + 1, sequence: 1, epochId: null }), { kind: 'ledger_ahead' })
  await t.rejects(spool.take(1), /before resume/)
  t.match(spool.resume(ledgerAt(spool, 1)), { kind: 'ledger_ahead' })
  t.equal(spool.resume(null), null)
  t.equal(spool.resume(POSITION_START), null, 'the row was entered')
  await appendAll(spool, names(3))
  for (let count = 0; count < 2; count++) spool.release((await spool.take(1))!)
  t.match(spool.resume(null), { kind: 'ledger_missing', message: /spool resolve/ })
  t.match(spool.resume(ledgerAt(spool, 1)), { kind: 'ledger_behind' })
  t.match(spool.resume(ledgerAt(spool, 3)), { kind: 'ledger_ahead' }, 'no one was given the third')
  const ofCopy = { ...ledgerAt(spool, 2), epochId: newId() }
  t.match(spool.resume(ofCopy), { kind: 'ledger_ahead' }, 'the same epoch of a copy')
  t.equal(spool.resume(ledgerAt(spool, 2)), null)
  t.equal(spool.resume({ ...ledgerAt(spool, 2), epochId: null }), null, 'a row without an id is believed')
})

t.test('a ledger that falls behind while the spool runs: no frame is removed until it fits', async (t) => {
  const directory = await makeDirectory(t)
  const { spool } = await openTestSpool(t, { directory, segmentBytes: 1024 })
  spool.resume(null)
  spool.resume(POSITION_START)
  await appendAll(spool, names(3))
  await drain(spool)
  t.match(spool.resume(ledgerAt(spool, 1)), { kind: 'ledger_behind' })
  const begun = spool.segments
  const later = names(20, 'x'.repeat(100))
  await appendAll(spool, later)
  t.ok(spool.segments > begun + 1, 'new segments, and no old one less')
  t.match(spool.resume(ledgerAt(spool, 1)), { kind: 'ledger_behind' }, 'not believed the second time either')
  await spool.close()

  const next = await openTestSpool(t, { directory })
  t.equal(next.spool.resume(ledgerAt(spool, 1)), null)
  t.same((await drain(next.spool)).texts, ['frame-2', 'frame-3', ...later])
})

t.test('nor on a disk so full that released frames would make room for a header', async (t) => {
  const directory = await makeDirectory(t)
  let full = false
  const files: Files = {
    ...realFiles,
    create: async (path) => {
      if (full) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
      return await realFiles.create(path)
    }
  }
  const { spool } = await openTestSpool(t, { files, directory, segmentBytes: 16 * 1024 })
  spool.resume(null)
  spool.resume(POSITION_START)
  await appendAll(spool, names(3))
  await drain(spool)
  t.match(spool.resume(ledgerAt(spool, 1)), { kind: 'ledger_behind' })
  full = true
  const refused = new TestBatch('x'.repeat(16 * 1024))
  spool.append(refused)
  t.equal(await refused.whenSpooled, 'spool_full')
  full = false
  await spool.close()
  const next = await openTestSpool(t, { directory })
  t.equal(next.spool.resume(ledgerAt(spool, 1)), null)
  t.same((await drain(next.spool)).texts, ['frame-2', 'frame-3'])
})

t.test('lost commits: only if the database has no row of what is on disk', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  spool.resume(null)
  spool.resume(POSITION_START)
  await appendAll(spool, names(3))
  await drain(spool)
  const behind = ledgerAt(spool, 1)
  t.match(spool.resume(behind), { kind: 'ledger_behind' })
  const isRight = async (through: Position | null, rowsBehind: number): Promise<boolean> => (
    await spool.isRightBehind(behind, async () => await Promise.resolve({ through, rows: 0, rowsBehind })))
  t.ok(await isRight(null, 0))
  t.notOk(await isRight(null, 1), 'the first frame is incomplete, but another one is there')
  t.notOk(await isRight(ledgerAt(spool, 2), 0))
})

t.test('after a start the segments decide', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  await appendAll(first.spool, names(3))
  await first.spool.close()
  const second = await openTestSpool(t, { directory })
  t.match(second.spool.resume(ledgerAt(first.spool, 3 + GROUP_FRAMES_MAX + 1)), { kind: 'ledger_ahead' })
  t.match(second.spool.resume({ ...ledgerAt(first.spool, 2), epochId: newId() }), { kind: 'ledger_ahead' })
  t.match(second.spool.resume(ledgerAt(second.spool, 1)), { kind: 'ledger_ahead' })
  for (const sequence of [0, 1, 2]) {
    t.equal(second.spool.resume(ledgerAt(first.spool, sequence)), null, 'a row edited to a frame on disk is believed')
  }
  await second.spool.close()
  const third = await openTestSpool(t, { directory })
  t.equal(third.spool.resume(ledgerAt(first.spool, 3)), null)
  await third.spool.close()
  const fourth = await openTestSpool(t, { directory })
  t.match(fourth.spool.resume(ledgerAt(first.spool, 2)), { kind: 'ledger_behind' })
  const ofCopy = { ...ledgerAt(first.spool, 3), epochId: newId() }
  t.match(fourth.spool.resume(ofCopy), { kind: 'ledger_ahead' }, 'the id of an epoch outlives its segments')
  t.equal(fourth.spool.resume(ledgerAt(first.spool, 3)), null)
})

t.test('an edited row keeps the id that it had, and is believed', async (t) => {
  const directory = await makeDirectory(t)
  const first = await openTestSpool(t, { directory })
  await appendAll(first.spool, names(3))
  await first.spool.close()
  const { spool } = await openTestSpool(t, { directory })
  t.equal(spool.resume({ ...ledgerAt(first.spool, 2), epochId: spool.epochId }), null)
  t.same((await drain(spool)).texts, names(3).slice(2))
})

t.test('the ledger is past frames that a power cut took: believed, at every later start too', async (t) => {
  const directory = await makeDirectory(t)
  for (const frames of [0, 2]) {
    const { spool: lost } = await openTestSpool(t, { directory })
    await appendAll(lost, names(frames))
    await lost.close()
    for (let start = 0; start < 3; start++) {
      const { spool } = await openTestSpool(t, { directory })
      t.equal(spool.resume(ledgerAt(lost, frames + 3)), null)
      t.match(spool.backlog(), { frames: 0 })
      await spool.close()
    }
    const { spool } = await openTestSpool(t, { directory })
    t.equal(spool.resume(ledgerAt(lost, frames + 3)), null)
    await appendAll(spool, ['new'])
    t.same((await drain(spool)).texts, ['new'])
    await spool.close()
  }
})

t.test('starts without a database leave their segments until the ledger is read', async (t) => {
  const directory = await makeDirectory(t)
  for (let start = 0; start < 3; start++) await (await openTestSpool(t, { directory })).spool.close()
  const { spool } = await openTestSpool(t, { directory })
  t.equal(spool.segments, 4)
  t.equal(spool.resume(POSITION_START), null)
  t.equal(spool.segments, 1)
})

t.test('a deleted row is distinguished from one that never existed', async (t) => {
  const directory = await makeDirectory(t)
  for (let start = 0; start < 2; start++) {
    const { spool } = await openTestSpool(t, { directory })
    await appendAll(spool, ['waits'])
    t.equal(spool.resume(null), null, 'the database was never reached')
    await spool.close()
  }
  const entered = await openTestSpool(t, { directory })
  t.equal(entered.spool.resume(null), null)
  t.equal(entered.spool.resume(POSITION_START), null)
  await appendAll(entered.spool, ['waits'])
  await entered.spool.close()
  const later = await openTestSpool(t, { directory })
  t.match(later.spool.resume(null), { kind: 'ledger_missing' })
  t.equal(later.spool.resume(POSITION_START), null, 'a row before its first frame will do')
})

t.test('two spools on one directory are refused', async (t) => {
  const directory = await makeDirectory(t)
  await openTestSpool(t, { directory })
  const again = { files: realFiles, directory: join(directory, '.'), rowFormat: ROW_FORMAT, maxBytes: 1 }
  await t.rejects(openSpool({ ...again, onFatal: () => {}, onGap: () => {} }), /open in this process/)
})

t.test('a spool that fails late leaves nothing open, and can be opened again', async (t) => {
  const directory = await makeDirectory(t)
  let handles = 0
  let broken = true
  const counted = async (opening: Promise<OpenFile>): Promise<OpenFile> => {
    const file = await opening
    handles++
    return Object.assign(Object.create(file) as OpenFile, { close: async () => { handles--; await file.close() } })
  }
  const files: Files = {
    ...realFiles,
    // The new segment is created last.
    create: async (path) => {
      if (broken) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' })
      return await counted(realFiles.create(path))
    },
    replace: (path) => counted(realFiles.replace(path)),
    open: (path, mode) => counted(realFiles.open(path, mode))
  }
  await t.rejects(openTestSpool(t, { files, directory }), { code: 'EMFILE' })
  t.equal(handles, 0)
  broken = false
  const { spool, recovery } = await openTestSpool(t, { files, directory })
  t.match(recovery, { gaps: [], tornBytes: 0 })
  await spool.close()
  t.equal(handles, 0)
})

t.test('after end() take() empties the spool; close() answers what waits', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  spool.resume(null)
  const [kept] = await appendAll(spool, ['kept'])
  spool.end()
  const late = new TestBatch('late')
  spool.append(late)
  t.equal(await late.whenSpooled, 'shutting_down')
  const run = await spool.take(10)
  t.equal(run?.rows, 1)
  t.equal(await spool.take(10), null)
  await spool.close()
  await spool.close()
  t.same(kept!.committedAnswers, ['outcome_unknown'])
})
