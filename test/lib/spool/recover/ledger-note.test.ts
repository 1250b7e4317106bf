/** The note of the ledger: what it says after a kill, a power cut, damage, a full disk and a failed sync. */
import t, { type Test } from 'tap'
import { LedgerNoteFile, NOTE_START, readLedgerNote, writeLedgerNote, type LedgerNote } from '../../../../lib/spool/recover/ledger-note.js'
import { realFiles } from '../../../../lib/spool/files.js'
import type { FrameRun } from '../../../../lib/journal/journal.js'
import { FakeDisk, FakeFiles } from '../fake-files.js'
import { makeDirectory } from '../support.js'

const DIRECTORY = '/data/spool/slot-0'
const PATH = `${DIRECTORY}/in-ledger`
const ID = 'ab'.repeat(16)
const EPOCH = 7

const runOf = (firstSequence: number, lastSequence: number, rows = lastSequence - firstSequence + 1): FrameRun => ({ epoch: EPOCH, firstSequence, lastSequence, rows, bytes: 0, payloads: [] })
const at = (sequence: number): LedgerNote['sent'] => ({ epoch: EPOCH, sequence })

async function opened (disk: FakeDisk): Promise<LedgerNoteFile> {
  const files = new FakeFiles(disk)
  await files.makeDirectory(DIRECTORY)
  const found = await readLedgerNote(files, DIRECTORY, ID)
  const file = new LedgerNoteFile(files, DIRECTORY, ID, { ...found, note: found.note ?? NOTE_START })
  await file.open()
  return file
}

async function noteOn (disk: FakeDisk): Promise<LedgerNote | null> {
  return (await readLedgerNote(new FakeFiles(disk), DIRECTORY, ID)).note
}

/** Three runs were given out, two have committed. */
async function used (disk: FakeDisk): Promise<LedgerNoteFile> {
  const file = await opened(disk)
  await file.send(runOf(1, 3))
  file.commit(runOf(1, 3))
  await file.send(runOf(4, 5, 20))
  file.commit(runOf(4, 5, 20))
  await file.send(runOf(6, 9))
  return file
}

const USED = { given: true, committed: at(5), sent: at(9), sentExact: true, complete: true, rows: 23, sentRows: 4 }

async function flip (t: Test, offset: number): Promise<LedgerNote | null> {
  const disk = new FakeDisk()
  await used(disk)
  disk.inode(PATH).flip(offset * 8)
  t.ok(offset < disk.inode(PATH).current.length)
  return await noteOn(disk)
}

t.test('a killed process leaves all that it noted', async (t) => {
  const disk = new FakeDisk()
  t.equal(await noteOn(disk), null)
  await used(disk)
  t.same(await noteOn(disk), USED)
  const next = await opened(disk)
  await next.believe(at(9))
  t.same(await noteOn(disk), { ...USED, committed: at(9), rows: 27, sentRows: 0 }, 'the last run has committed: its rows are counted')
})

t.test('a run that is given out again, longer or shorter, is counted once', async (t) => {
  const disk = new FakeDisk()
  const file = await used(disk)
  await file.believe(at(5))
  await file.send(runOf(6, 7))
  t.match(file.note, { sent: at(9), sentRows: 4 })
  file.commit(runOf(6, 7))
  t.match(file.note, { committed: at(7), rows: 25, sentRows: 2 })
  await file.send(runOf(8, 12))
  t.match(file.note, { sent: at(12), sentRows: 5 })
  await file.send(runOf(13, 14))
  t.match(file.note, { sent: at(14), sentRows: 7 })
  await file.believe(at(12))
  t.match(file.note, { committed: at(12), rows: null }, 'a position within what was given out: nobody counted')
})

t.test('after a power cut it says what was synced, and does not say that no more was given out', async (t) => {
  const disk = new FakeDisk((below) => below - 1)
  await (await used(disk)).secure()
  disk.powerCut()
  t.same(await noteOn(disk), { ...USED, sentExact: false })
  const file = await opened(disk)
  t.equal((await noteOn(disk))?.sentExact, false, 'nor does the next process')
  await file.believe(at(5))
  t.same(await noteOn(disk), USED, 'until the ledger was read')
})

t.test('a spool that was closed knows all over a start of the machine; one that was opened since does not', async (t) => {
  const disk = new FakeDisk((below) => below - 1)
  await (await used(disk)).close()
  disk.powerCut()
  t.same(await noteOn(disk), USED)
  await opened(disk)
  disk.powerCut()
  t.same(await noteOn(disk), { ...USED, sentExact: false }, 'cut off before it gave out anything')
  const file = await opened(disk)
  await file.close()
  disk.powerCut()
  t.same(await noteOn(disk), { ...USED, sentExact: false }, 'what was lost does not come back by closing')
  await writeLedgerNote(new FakeFiles(disk), DIRECTORY, ID, USED)
  disk.powerCut()
  t.same(await noteOn(disk), USED, 'nor does a spool that a person has put right give out anything')
})

t.test('one damaged record: the other counts, and may be older; both: nothing is known', async (t) => {
  // The newest counter is even: it stands first.
  const notes = [await flip(t, 50), await flip(t, 4096 + 50)]
  t.ok(notes.every((note) => note?.given === true && !note.sentExact))
  t.ok(notes.some((note) => note?.committed.sequence === 5))
  const disk = new FakeDisk()
  await used(disk)
  for (const offset of [50, 4096 + 50]) disk.inode(PATH).flip(offset * 8)
  t.match(await noteOn(disk), { given: true, committed: { epoch: 0, sequence: 0 }, sentExact: false, complete: false, rows: null })
  t.match((await readLedgerNote(new FakeFiles(disk), DIRECTORY, 'cd'.repeat(16))).note, { given: true, complete: false }, 'nor of another spool')
})

t.test('the older form, an empty file, says that frames were given out', async (t) => {
  const disk = new FakeDisk()
  const files = new FakeFiles(disk)
  await files.makeDirectory(DIRECTORY)
  await (await files.create(PATH)).close()
  t.match(await noteOn(disk), { given: true, complete: false, sentExact: false })
  await opened(disk)
  t.equal(disk.inode(PATH).current.length, 8192, 'it is made anew')
  t.match(await noteOn(disk), { given: true, complete: false })
})

for (const [operation, what] of [['write', 'a write'], ['sync', 'a sync']] as const) {
  t.test(`${what} that fails: a new file says the same, and goes on`, async (t) => {
    const disk = new FakeDisk()
    const file = await used(disk)
    disk.fail(operation, 'EIO')
    t.equal(await file.secure(), true)
    t.same(await noteOn(disk), USED)
    file.commit(runOf(6, 9))
    await file.close()
    t.same(await noteOn(disk), { ...USED, committed: at(9), rows: 27, sentRows: 0 })
  })
}

t.test('neither a write nor a new file: what is there says no more than that frames were given out', async (t) => {
  const disk = new FakeDisk()
  const file = await used(disk)
  for (let times = 0; times < 3; times++) disk.fail('write', 'ENOSPC')
  t.equal(await file.secure(), true, 'and that is durable')
  t.match(await noteOn(disk), { given: true, complete: false, committed: { epoch: 0, sequence: 0 } })
  disk.heal()
  file.secureSoon()
  await file.close()
  t.same(await noteOn(disk), USED, 'when there is room it knows again')
})

t.test('a disk that takes nothing at all is told', async (t) => {
  const disk = new FakeDisk()
  const file = await used(disk)
  disk.fail('write', 'EIO')
  for (const operation of ['create', 'create', 'unlink', 'create', 'create', 'unlink'] as const) disk.fail(operation, 'EIO')
  t.equal(await file.secure(), false)
})

t.test('on a real disk, over starts of the program', async (t) => {
  const directory = await makeDirectory(t)
  await writeLedgerNote(realFiles, directory, ID, { ...NOTE_START, given: true, committed: at(2), sent: at(4) })
  const found = await readLedgerNote(realFiles, directory, ID)
  t.match(found, { note: { committed: at(2), sent: at(4), sentExact: await realFiles.bootId() !== '' }, counter: 2 })
  const file = new LedgerNoteFile(realFiles, directory, ID, found)
  await file.open()
  await file.send(runOf(5, 6))
  await file.close()
  t.match(await readLedgerNote(realFiles, directory, ID), { note: { committed: at(2), sent: at(6) }, counter: 5 })
})
