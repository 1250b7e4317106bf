/** The writer on a disk that is full, fails or lies. */
import t from 'tap'
import type { Test } from 'tap'
import { FakeDisk, FakeFiles } from './fake-files.js'
import { POSITION_START } from '../../../lib/spool/format/position.js'
import { SEGMENT_HEADER_BYTES, newId } from '../../../lib/spool/format/segment.js'
import { TestBatch, appendAll, drain, ledgerAt, openTestSpool, type Opened } from './support.js'
import type { SpoolOptions } from '../../../lib/spool/spool.js'

const DIRECTORY = '/data/spool/slot-0'

/** A disk on which a power cut loses everything unsynced. */
const forgetful = (): FakeDisk => new FakeDisk((below) => below - 1)
/** A disk on which a power cut loses nothing. */
const lazy = (): FakeDisk => new FakeDisk(() => 0)

async function openOn (
  t: Test, disk: FakeDisk, options: Partial<SpoolOptions> = {}
): Promise<Opened & { files: FakeFiles }> {
  const files = new FakeFiles(disk)
  const all = { directory: DIRECTORY, files, roomIntervalMs: 1_000_000_000, ...options }
  return { files, ...await openTestSpool(t, all, () => !files.dead) }
}

/** Power cut, then the next start. */
async function restart (t: Test, disk: FakeDisk, before: { files: FakeFiles }): Promise<Opened & { files: FakeFiles }> {
  before.files.kill()
  disk.powerCut()
  return await openOn(t, disk)
}

t.test('batches that arrive during a sync share the next one', async (t) => {
  const { spool, files } = await openOn(t, forgetful())
  let idle = 0
  spool.listeners.add({ onIdle: () => { idle++ } })
  t.equal(spool.idle, true)
  files.gated = true
  const batches = ['first', 'second', 'third'].map((text) => new TestBatch(text))
  for (const batch of batches) spool.append(batch)
  t.equal(spool.idle, false)
  files.gated = false
  while (files.pending > 0) files.step()
  await Promise.all(batches.map(async (batch) => await batch.whenSpooled))
  t.equal(spool.counters.syncs, 2)
  await new Promise(setImmediate)
  t.equal(idle, 1)
  t.match(spool.counters, { framesAppended: 3, rowsAppended: 3, bytesAppended: 16, batchesRefused: 0 })
})

t.test('no space: the group is removed before it is refused; the next is accepted once there is space', async (t) => {
  for (const fault of ['ENOSPC', 'short'] as const) {
    const disk = forgetful()
    const before = await openOn(t, disk)
    await appendAll(before.spool, ['kept'])
    disk.fail('write', fault)
    const [refused] = await appendAll(before.spool, ['refused'])
    t.same(refused!.spooledAnswers, ['spool_full'], fault)
    t.equal(before.spool.pressure(), 'hard')
    const [early] = await appendAll(before.spool, ['early'])
    t.same(early!.spooledAnswers, ['spool_full'])
    await before.spool.checkRoom()
    t.equal(before.spool.pressure(), 'none')
    const [taken] = await appendAll(before.spool, ['taken'])
    t.same(taken!.spooledAnswers, [null])
    const { spool, recovery } = await restart(t, disk, before)
    t.same(recovery.gaps, [])
    spool.resume(null)
    t.same((await drain(spool)).texts, ['kept', 'taken'])
  }
})

t.test('spool_full is answered only when the cut is durable', async (t) => {
  const disk = forgetful()
  const before = await openOn(t, disk)
  disk.capacityBytes = disk.usedBytes + 200
  before.files.gated = true
  const whole = new TestBatch('whole')
  const tooLarge = new TestBatch('x'.repeat(300))
  for (const batch of [new TestBatch('head'), whole, tooLarge]) before.spool.append(batch)
  const settle = async (): Promise<void> => { await new Promise(setImmediate) }
  // The first group: write, sync. The second: a short write, which reaches the disk by itself, and the truncation.
  for (let operation = 0; operation < 4; operation++) {
    before.files.step()
    await settle()
    if (operation === 2) disk.paths().forEach((path) => { disk.inode(path).writeBack() })
  }
  t.same(whole.spooledAnswers, [], 'not yet: a power cut now brings the frame back')
  before.files.step()
  await settle()
  t.same(whole.spooledAnswers, ['spool_full'])
  disk.heal()
  const { spool } = await restart(t, disk, before)
  spool.resume(null)
  t.same((await drain(spool)).texts, ['head'])
})

t.test('a cut that fails: outcome unknown, and a new segment', async (t) => {
  const disk = forgetful()
  const { spool, fatal } = await openOn(t, disk)
  disk.fail('write', 'short')
  disk.fail('truncate', 'EIO')
  disk.fail('create', 'ENOSPC')
  disk.fail('create', 'ENOSPC', 2)
  const [batch] = await appendAll(spool, ['unknown'])
  t.same(batch!.spooledAnswers, ['spool_failed'])
  t.equal(fatal.length, 0)
  await spool.checkRoom()
  const [next] = await appendAll(spool, ['next'])
  t.same(next!.spooledAnswers, [null])
  spool.resume(null)
  t.same((await drain(spool)).texts, ['next'])
})

t.test('a failed sync: the frames are written to a new segment, acknowledged there, and delivered once', async (t) => {
  for (const disk of [forgetful(), lazy()]) {
    const before = await openOn(t, disk)
    await appendAll(before.spool, ['one'])
    disk.fail('sync', 'EIO')
    const [two] = await appendAll(before.spool, ['two'])
    t.same(two!.spooledAnswers, [null])
    t.equal(before.spool.segments, 2)
    t.equal(before.fatal.length, 0)
    await appendAll(before.spool, ['three'])
    const { spool, recovery } = await restart(t, disk, before)
    t.same(recovery.gaps, [])
    spool.resume(null)
    t.same((await drain(spool)).texts, ['one', 'two', 'three'])
  }
})

t.test('two failed syncs in a row fail the spool: all outcomes unknown, durable frames still returned', async (t) => {
  const disk = forgetful()
  const { spool, fatal, files } = await openOn(t, disk)
  spool.resume(null)
  await appendAll(spool, ['durable'])
  files.gated = true
  const batches = ['in the group', 'waiting'].map((text) => new TestBatch(text))
  for (const batch of batches) spool.append(batch)
  disk.fail('sync', 'EIO')
  disk.fail('sync', 'EIO', 3)
  files.gated = false
  while (files.pending > 0) files.step()
  t.equal(await batches[0]!.whenSpooled, 'spool_failed')
  t.equal(await batches[1]!.whenSpooled, 'spool_failed')
  t.equal(fatal.length, 1)
  t.match(fatal[0]!.cause, { code: 'EIO' })
  t.equal(spool.pressure(), 'hard')
  const [late] = await appendAll(spool, ['late'])
  t.same(late!.spooledAnswers, ['spool_failed'])
  t.same((await drain(spool)).texts, ['durable'])
})

t.test('a segment whose creation failed halfway never voids frames of the previous one', async (t) => {
  const disk = lazy()
  const before = await openOn(t, disk, { segmentBytes: 320 })
  await appendAll(before.spool, ['x'.repeat(90)])
  // The rotation creates a file and syncs it; syncing the directory fails, and so does removing the file.
  disk.fail('syncDirectory', 'ENOSPC')
  disk.fail('unlink', 'EIO')
  const [refused] = await appendAll(before.spool, ['y'.repeat(90)])
  t.same(refused!.spooledAnswers, ['spool_full'])
  await before.spool.checkRoom()
  const [small] = await appendAll(before.spool, ['z'])
  t.same(small!.spooledAnswers, [null])
  const { spool, recovery } = await restart(t, disk, before)
  t.same(recovery.gaps, [])
  spool.resume(null)
  t.same((await drain(spool)).texts, ['x'.repeat(90), 'z'])
})

t.test('a disk full of released frames: their space is freed', async (t) => {
  const disk = forgetful()
  const { spool } = await openOn(t, disk)
  spool.resume(null)
  disk.capacityBytes = disk.usedBytes + 400
  const batches = await appendAll(spool, ['a'.repeat(200), 'b'.repeat(200)])
  t.same(batches.map((batch) => batch.spooledAnswers[0]), [null, 'spool_full'])
  await drain(spool)
  disk.fail('create', 'EIO')
  disk.fail('write', 'ENOSPC')
  await spool.checkRoom()
  const [refused] = await appendAll(spool, ['c'.repeat(200)])
  t.same(refused!.spooledAnswers, ['spool_full'])
  disk.heal()
  await spool.checkRoom()
  const [taken] = await appendAll(spool, ['d'.repeat(200)])
  t.same(taken!.spooledAnswers, [null])
})

t.test('a full disk at the start: waiting frames are drained, then there is space', async (t) => {
  const disk = forgetful()
  const before = await openOn(t, disk)
  await appendAll(before.spool, ['waits', 'too'])
  before.files.kill()
  disk.capacityBytes = disk.usedBytes
  const { spool } = await openOn(t, disk)
  t.equal(spool.pressure(), 'hard')
  spool.resume(null)
  t.same((await drain(spool)).texts, ['waits', 'too'])
  disk.capacityBytes += 300
  await spool.checkRoom()
  const [batch] = await appendAll(spool, ['new'])
  t.same(batch!.spooledAnswers, [null])
  t.same((await drain(spool)).texts, ['new'])
})

t.test('a full disk from which all frames were cut off: the end of the epoch is still known', async (t) => {
  for (const disk of [forgetful(), lazy()]) {
    const before = await openOn(t, disk)
    before.spool.resume(POSITION_START)
    disk.capacityBytes = disk.usedBytes + 400
    await appendAll(before.spool, ['a'.repeat(200), 'no room'.repeat(30)])
    await drain(before.spool)
    // The frames are gone, and there still can be no new segment.
    for (let nth = 1; nth <= 20; nth++) disk.fail('create', 'ENOSPC', nth)
    await before.spool.checkRoom()
    await appendAll(before.spool, ['refused'])
    t.equal(before.spool.diskBytes, SEGMENT_HEADER_BYTES)
    disk.heal()
    const { spool, recovery } = await restart(t, disk, before)
    t.match(recovery, { frames: 0, gaps: [] })
    t.equal(spool.resume(ledgerAt(before.spool, 1)), null)
    t.match(spool.resume({ ...ledgerAt(before.spool, 1), epochId: newId() }), { kind: 'ledger_ahead' })
    t.match(spool.resume(POSITION_START), { kind: 'ledger_behind' })
  }
})

t.test('the limit of the spool: soft at 80 percent, hard when reached, none after the drain', async (t) => {
  const { spool } = await openOn(t, forgetful(), { maxBytes: 4000, segmentBytes: 1000 })
  spool.resume(null)
  const seen = new Set<string>()
  let refused = 0
  for (let index = 0; index < 40; index++) {
    seen.add(spool.pressure())
    const [batch] = await appendAll(spool, ['x'.repeat(100)])
    if (batch!.spooledAnswers[0] === 'spool_full') refused++
  }
  t.same([...seen], ['none', 'soft', 'hard'])
  t.ok(refused > 0)
  t.ok(spool.diskBytes <= 4000)
  await drain(spool)
  await new Promise(setImmediate)
  t.equal(spool.pressure(), 'none')
  t.ok(spool.diskBytes < 1200, `${spool.diskBytes} bytes are left`)
})

t.test('the reserve of the file system is kept free', async (t) => {
  const disk = forgetful()
  const { spool } = await openOn(t, disk, { reserveBytes: 10_000 })
  disk.capacityBytes = disk.usedBytes + 10_300
  await spool.checkRoom()
  t.equal(spool.pressure(), 'soft')
  const batches = await appendAll(spool, ['x'.repeat(200), 'y'.repeat(200)])
  t.same(batches.map((batch) => batch.spooledAnswers[0]), [null, 'spool_full'])
  t.ok(spool.freeBytes >= 10_000)
})

t.test('resume() while frames are read back: none is returned twice', async (t) => {
  const disk = lazy()
  const before = await openOn(t, disk)
  before.spool.resume(null)
  await appendAll(before.spool, ['one', 'two', 'three'])
  await before.spool.take(1000)
  before.files.kill()
  const { spool, files } = await openOn(t, disk)
  spool.resume(POSITION_START)
  files.gated = true
  const taking = spool.take(1000)
  await new Promise(setImmediate)
  while (files.pending > 1) files.step()
  t.equal(spool.resume(ledgerAt(before.spool, 3)), null)
  t.equal(spool.backlog().frames, 0)
  files.gated = false
  while (files.pending > 0) files.step()
  await new Promise(setImmediate)
  await appendAll(spool, ['four'])
  t.match(await taking, { epoch: spool.epoch, firstSequence: 1, lastSequence: 1 })
  t.equal(spool.backlog().frames, 1)
})
