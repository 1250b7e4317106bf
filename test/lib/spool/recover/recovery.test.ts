/** The damage matrix: whatever the damage, the spool opens, delivers every valid frame and reports the exact gap. */
import { crc32 } from 'node:zlib'
import t from 'tap'
import type { Test } from 'tap'
import { FakeDisk, FakeFiles } from '../fake-files.js'
import { ROW_FORMAT, appendAll, drain, ledgerAt, makeDirectory, openTestSpool, type Opened } from '../support.js'
import { FRAME_HEADER_BYTES, decodeFrameHeader, encodeFrameHeader } from '../../../../lib/spool/format/record.js'
import {
  GROUP_FRAMES_MAX, SEGMENT_HEADER_BYTES, SHORT_HEADER_BYTES, newId
} from '../../../../lib/spool/format/segment.js'
import { inspectSpool } from '../../../../lib/spool/operate/inspect.js'
import { listSlots, slotDirectory } from '../../../../lib/spool/slot-directories.js'
import { openSpool } from '../../../../lib/spool/open-spool.js'
import { realFiles } from '../../../../lib/spool/file-system.js'
import { describeGap, type Gap } from '../../../../lib/spool/recover/gap.js'

const DIRECTORY = '/data/spool/slot-0'
const PAYLOAD_BYTES = 20
const FRAME_BYTES = FRAME_HEADER_BYTES + PAYLOAD_BYTES
const EPOCH = 5000
const FRAMES_IN_A_SEGMENT = 4

type Snapshot = ReadonlyMap<string, Buffer>

const text = (sequence: number): string => String(sequence).padStart(PAYLOAD_BYTES, '.')

/** The files of a spool that was killed: `frames` frames in segments of four. */
async function write (t: Test, frames: number): Promise<Snapshot> {
  const disk = new FakeDisk()
  const files = new FakeFiles(disk)
  const segmentBytes = SEGMENT_HEADER_BYTES + FRAMES_IN_A_SEGMENT * FRAME_BYTES
  const options = { directory: DIRECTORY, files, segmentBytes, now: () => EPOCH }
  const { spool } = await openTestSpool(t, options, () => false)
  await appendAll(spool, Array.from({ length: frames }, (_, index) => text(index + 1)))
  files.kill()
  return new Map(disk.paths().map((path) => [path, Buffer.from(disk.inode(path).current)]))
}

/** A disk with these files. */
async function restore (snapshot: Snapshot): Promise<FakeDisk> {
  const disk = new FakeDisk()
  const files = new FakeFiles(disk)
  await files.makeDirectory(DIRECTORY)
  for (const [path, content] of snapshot) {
    const file = await files.create(path)
    await file.write([content], 0)
    await file.sync()
  }
  await files.syncDirectory(DIRECTORY)
  return disk
}

function segmentsOf (snapshot: Snapshot): string[] {
  return [...snapshot.keys()].filter((path) => path.endsWith('.seg')).sort()
}

interface Result {
  readonly sequences: number[]
  readonly gaps: readonly Gap[]
  readonly tornBytes: number
}

/** Opens the snapshot, then opens it again and drains it: both must find the same. */
async function start (t: Test, snapshot: Snapshot): Promise<Result & { disk: FakeDisk }> {
  const disk = await restore(snapshot)
  const first = await open(t, disk)
  const quarantined = disk.paths().filter((path) => path.includes('quarantine')).length
  t.equal(first.recovery.quarantinedBytes > 0, quarantined > 0)
  await first.spool.close()
  const { spool, recovery } = await open(t, disk)
  t.equal(spool.resume(null), null)
  const { texts, positions } = await drain(spool)
  t.same(texts, positions.map((position) => text(position.sequence)))
  await appendAll(spool, ['later'])
  t.same((await drain(spool)).texts, ['later'])
  await spool.close()
  t.same(recovery.gaps, first.recovery.gaps, 'the second start reports the same')
  const sequences = positions.map((position) => position.sequence)
  return { disk, sequences, gaps: recovery.gaps, tornBytes: first.recovery.tornBytes }
}

async function open (t: Test, disk: FakeDisk): Promise<Opened> {
  return await openTestSpool(t, { directory: DIRECTORY, files: new FakeFiles(disk), now: () => EPOCH + 100 })
}

const upTo = (last: number, without: readonly number[] = []): number[] =>
  Array.from({ length: last }, (_, index) => index + 1).filter((one) => !without.includes(one))

function changed (snapshot: Snapshot, path: string, change: (content: Buffer) => Buffer | null): Snapshot {
  const copy = new Map(snapshot)
  const content = change(Buffer.from(snapshot.get(path)!))
  if (content === null) copy.delete(path)
  else copy.set(path, content)
  return copy
}

t.test('the last segment cut at every byte of its last three frames', async (t) => {
  const snapshot = await write(t, 8)
  const last = segmentsOf(snapshot).at(-1)!
  const end = SEGMENT_HEADER_BYTES + FRAMES_IN_A_SEGMENT * FRAME_BYTES
  for (let length = end - 3 * FRAME_BYTES; length <= end; length++) {
    const cut = changed(snapshot, last, (content) => content.subarray(0, length))
    const { sequences, gaps, tornBytes } = await start(t, cut)
    const whole = Math.floor((length - SEGMENT_HEADER_BYTES) / FRAME_BYTES)
    const torn = (length - SEGMENT_HEADER_BYTES) % FRAME_BYTES
    const expected = { sequences: upTo(4 + whole), gaps: [], tornBytes: torn }
    t.same({ sequences, gaps, tornBytes }, expected, `cut at ${length}`)
  }
})

t.test('every bit of a frame header flipped, in the middle and at the end of a segment', async (t) => {
  const snapshot = await write(t, 9)
  const [first] = segmentsOf(snapshot)
  for (const sequence of [2, 4]) {
    const offset = SEGMENT_HEADER_BYTES + (sequence - 1) * FRAME_BYTES
    for (let bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
      const flipped = changed(snapshot, first!, (content) => flip(content, offset * 8 + bit))
      const { sequences, gaps, tornBytes } = await start(t, flipped)
      t.same(sequences, upTo(9, [sequence]))
      const gap = { epoch: EPOCH, fromSequence: sequence, toSequence: sequence, bytes: FRAME_BYTES }
      t.same(gaps, [{ ...gap, segment: first!.split('/').at(-1) }])
      t.equal(tornBytes, 0)
    }
  }
})

t.test('every bit of a segment header flipped costs nothing', async (t) => {
  const snapshot = await write(t, 9)
  for (const [index, path] of segmentsOf(snapshot).entries()) {
    // All bits of the first header; the other copies are read in the same way.
    for (let bit = index; bit < SEGMENT_HEADER_BYTES * 8; bit += index === 0 ? 1 : 17) {
      const { sequences, gaps } = await start(t, changed(snapshot, path, (content) => flip(content, bit)))
      t.same({ sequences, gaps }, { sequences: upTo(9), gaps: [] })
    }
  }
})

t.test('a whole segment header destroyed: the file name replaces it', async (t) => {
  const snapshot = await write(t, 9)
  for (const path of segmentsOf(snapshot)) {
    const damaged = changed(snapshot, path, (content) => content.fill(0xAA, 0, SEGMENT_HEADER_BYTES))
    const { sequences, gaps } = await start(t, damaged)
    t.same({ sequences, gaps }, { sequences: upTo(9), gaps: [] })
  }
})

t.test('a middle segment removed', async (t) => {
  const snapshot = await write(t, 12)
  const middle = segmentsOf(snapshot)[1]!
  const { sequences, gaps } = await start(t, changed(snapshot, middle, () => null))
  t.same(sequences, upTo(12, [5, 6, 7, 8]))
  t.match(gaps, [{ epoch: EPOCH, fromSequence: 5, toSequence: 8, bytes: 0 }])
  t.equal(gaps.length, 1)
})

t.test('the segments of a whole epoch removed from the middle', async (t) => {
  const snapshot = await write(t, 2)
  const disk = await restore(snapshot)
  for (const sequence of [3, 4]) {
    const { spool } = await open(t, disk)
    await appendAll(spool, [text(sequence)])
    await spool.close()
  }
  const [, second] = disk.paths().filter((path) => path.endsWith('.seg')).sort()
  await new FakeFiles(disk).unlink(second!)
  const { spool, recovery } = await open(t, disk)
  t.match(recovery, { frames: 3, gaps: [{ epoch: EPOCH + 100, fromSequence: 1, toSequence: 1, bytes: 0 }] })
  spool.resume(null)
  t.same((await drain(spool)).texts, [text(1), text(2), text(4)])
})

t.test('garbage at the end: torn in the last segment, ignored in an earlier one', async (t) => {
  const snapshot = await write(t, 8)
  for (const [index, path] of segmentsOf(snapshot).entries()) {
    for (const garbage of [Buffer.alloc(1), Buffer.alloc(5000, 'OFRM'), Buffer.alloc(40, 0xFF)]) {
      const longer = changed(snapshot, path, (content) => Buffer.concat([content, garbage]))
      const { sequences, gaps, tornBytes } = await start(t, longer)
      const torn = index === 1 ? garbage.length : 0
      t.same({ sequences, gaps, tornBytes }, { sequences: upTo(8), gaps: [], tornBytes: torn })
    }
  }
})

t.test('garbage over frames in the middle: the rest of the file is delivered', async (t) => {
  const snapshot = await write(t, 12)
  const second = segmentsOf(snapshot)[1]!
  const from = SEGMENT_HEADER_BYTES + FRAME_BYTES + 10
  const damaged = changed(snapshot, second, (content) => content.fill('OFRM', from, from + FRAME_BYTES))
  const { sequences, gaps, disk } = await start(t, damaged)
  t.same(sequences, upTo(12, [6, 7]))
  t.match(gaps, [{ fromSequence: 6, toSequence: 7, bytes: 2 * FRAME_BYTES }])
  const kept = disk.paths().filter((path) => path.includes('/quarantine/'))
  t.equal(kept.length, 1)
  t.equal(disk.inode(kept[0]!).current.length, 2 * FRAME_BYTES)
})

t.test('an empty segment, in every state of its creation', async (t) => {
  const snapshot = await write(t, 4)
  for (const bytes of [0, 1, 63, 64, 127, SHORT_HEADER_BYTES, SEGMENT_HEADER_BYTES]) {
    const empty = `${DIRECTORY}/0000000000005001-0000000000000001-00.seg`
    const { sequences, gaps } = await start(t, new Map([...snapshot, [empty, Buffer.alloc(bytes)]]))
    t.same({ sequences, gaps }, { sequences: upTo(4), gaps: [] }, `${bytes} bytes`)
  }
  const { sequences } = await start(t, changed(snapshot, segmentsOf(snapshot)[0]!, (content) => content.subarray(0, 0)))
  t.same(sequences, [])
})

t.test('without its file the id is taken from a segment; without any the error says what to do', async (t) => {
  const snapshot = await write(t, 4)
  const id = `${DIRECTORY}/spool-id`
  for (const change of [() => null, (content: Buffer) => flip(content, 13)]) {
    const disk = await restore(changed(snapshot, id, change))
    const { spool } = await open(t, disk)
    t.ok(snapshot.get(id)!.toString().startsWith(spool.spoolId))
    t.same(disk.inode(id).current, snapshot.get(id), 'and it is written again')
  }
  const full = await restore(changed(snapshot, id, () => null))
  full.capacityBytes = full.usedBytes
  const { spool } = await open(t, full)
  t.ok(snapshot.get(id)!.toString().startsWith(spool.spoolId), 'on a full disk too')
  const withoutFile = changed(snapshot, id, () => null)
  const [segment] = segmentsOf(snapshot)
  const lost = changed(withoutFile, segment!, (content) => content.fill(0, 0, SEGMENT_HEADER_BYTES))
  const message = /the spool id is lost: spool-id and all segment headers/
  await t.rejects(open(t, await restore(lost)), { code: 'spool_failed', message })
})

t.test('a segment of another spool is moved aside', async (t) => {
  const snapshot = await write(t, 4)
  const foreign = await write(t, 8)
  const [, path] = segmentsOf(foreign)
  const { sequences, gaps } = await (async () => {
    const disk = await restore(new Map([...snapshot, [path!, foreign.get(path!)!]]))
    const { spool, recovery } = await open(t, disk)
    spool.resume(null)
    const { positions } = await drain(spool)
    t.equal(disk.paths().filter((one) => one.includes('quarantine/')).length, 1)
    return { sequences: positions.map((position) => position.sequence), gaps: recovery.gaps }
  })()
  t.same(sequences, upTo(4))
  t.match(gaps, [{ fromSequence: 5, toSequence: null }])
})

t.test('frames of another row format are refused, not mixed', async (t) => {
  const disk = await restore(await write(t, 2))
  const files = new FakeFiles(disk)
  const options = { directory: DIRECTORY, maxBytes: 1e9, onFatal: () => {}, onGap: () => {}, files }
  await t.rejects(openSpool({ ...options, rowFormat: ROW_FORMAT + 1 }), { code: 'spool_failed', message: /format 1/ })
  const { spool } = await openSpool({ ...options, rowFormat: ROW_FORMAT })
  await spool.close()
})

t.test('a newer version of the format is refused', async (t) => {
  const snapshot = await write(t, 2)
  const disk = await restore(changed(snapshot, segmentsOf(snapshot)[0]!, (content) => {
    content[4] = 3
    content.writeUInt32BE(crc32(content.subarray(0, 60)), 60)
    return content
  }))
  await t.rejects(open(t, disk), { code: 'spool_failed', message: /version 3/ })
})

t.test('a spool of version 1 is drained, and its file in-ledger is removed', async (t) => {
  const snapshot = new Map(await write(t, 9))
  for (const [path, content] of snapshot) if (path.endsWith('.seg')) snapshot.set(path, asVersion1(content))
  const note = `${DIRECTORY}/in-ledger`
  for (const at of [null, { epoch: EPOCH, sequence: 6, epochId: null }]) {
    const notes = new Map([[note, Buffer.alloc(8192, 0x4F)], [`${note}.new`, Buffer.alloc(0)]])
    const disk = await restore(new Map([...snapshot, ...notes]))
    const { spool, recovery } = await open(t, disk)
    t.match(recovery, { frames: 9, gaps: [], tornBytes: 0, quarantinedBytes: 0 })
    t.same(disk.paths().filter((path) => path.startsWith(note)), [])
    t.match(spool.resume({ epoch: EPOCH, sequence: 9 + GROUP_FRAMES_MAX + 1, epochId: null }), { kind: 'ledger_ahead' })
    t.equal(spool.resume(at), null)
    const run = (await spool.take(1))!
    t.match(run, { epochId: null })
    spool.release(run)
    await appendAll(spool, ['later'])
    const sequences = (await drain(spool)).positions.map(({ sequence }) => sequence)
    t.same(sequences, [...upTo(9).slice((at?.sequence ?? 0) + 1), 1])
    await spool.close()
    const next = await open(t, disk)
    t.equal(next.spool.resume(ledgerAt(spool, 1)), null)
    t.match(next.spool.resume({ ...ledgerAt(spool, 1), epochId: newId() }), { kind: 'ledger_ahead' })
  }
  const [first] = segmentsOf(snapshot)
  const damaged = changed(snapshot, first!, (content) => content.fill(0xAA, 0, SHORT_HEADER_BYTES))
  const { sequences, gaps } = await start(t, damaged)
  t.same({ sequences, gaps }, { sequences: upTo(9), gaps: [] }, 'without a header, too')
})

t.test('damage while the spool is open is a gap when the frames are read back', async (t) => {
  const disk = await restore(await write(t, 8))
  const { spool, gaps } = await open(t, disk)
  const path = disk.paths().filter((one) => one.endsWith('.seg')).sort()[0]!
  disk.inode(path).flip((SEGMENT_HEADER_BYTES + FRAME_BYTES + 30) * 8)
  spool.resume(null)
  t.same((await drain(spool)).positions.map((position) => position.sequence), upTo(8, [2]))
  t.match(gaps, [{ fromSequence: 2, toSequence: 2, bytes: FRAME_BYTES }])
  t.match(spool.counters, { gaps: 1, quarantinedBytes: FRAME_BYTES })
  t.match(spool.backlog(), { frames: 0, rows: 0, bytes: 0 })
})

t.test('a segment that disappears while the spool is open is a gap', async (t) => {
  const disk = await restore(await write(t, 8))
  const { spool, gaps } = await open(t, disk)
  await new FakeFiles(disk).unlink(disk.paths().filter((one) => one.endsWith('.seg')).sort()[0]!)
  spool.resume(null)
  t.same((await drain(spool)).positions.map((position) => position.sequence), [5, 6, 7, 8])
  t.match(gaps, [{ fromSequence: 1, toSequence: 4, bytes: 0 }])
})

t.test('a read that succeeds at the second attempt loses nothing', async (t) => {
  const snapshot = await write(t, 8)
  for (let nth = 1; nth <= 6; nth++) {
    const disk = await restore(snapshot)
    disk.fail('read', 'EIO', nth)
    const { recovery } = await open(t, disk)
    t.match(recovery, { frames: 8, gaps: [] })
    t.equal(disk.faults.get('read')!.length, nth === 6 ? 1 : 0, 'headers, the id, and frames are read')
  }
})

t.test('inspection shows segments, frames, damage and gaps, and changes nothing', async (t) => {
  const snapshot = await write(t, 9)
  const [first, second] = segmentsOf(snapshot)
  const flipped = changed(snapshot, first!, (content) => flip(content, (SEGMENT_HEADER_BYTES + 50) * 8))
  const damaged = changed(flipped, second!, (content) => content.fill(0, 0, SEGMENT_HEADER_BYTES))
  const disk = await restore(damaged)
  const found = await inspectSpool(new FakeFiles(disk), DIRECTORY)
  const last = { epoch: EPOCH, sequence: 9 }
  t.match(found, { frames: 8, rows: 8, gaps: [{ fromSequence: 1, toSequence: 1 }], last })
  t.equal(found.spoolId, snapshot.get(`${DIRECTORY}/spool-id`)!.toString().slice(0, 32))
  t.match(found.segments, [
    {
      firstSequence: 2,
      lastSequence: 4,
      frames: 3,
      headerDamaged: false,
      damaged: [{ offset: SEGMENT_HEADER_BYTES, bytes: FRAME_BYTES }]
    },
    { firstSequence: 5, lastSequence: 8, frames: 4, headerDamaged: true, damaged: [] },
    { firstSequence: 9, lastSequence: 9, frames: 1, tornBytes: 0 }
  ])
  for (const [path, content] of damaged) t.same(disk.inode(path).current, content)
  t.match(await inspectSpool(new FakeFiles(new FakeDisk()), DIRECTORY), { spoolId: null, segments: [], last: null })
})

t.test('slots are found by their number', async (t) => {
  const directory = await makeDirectory(t)
  const slots = [slotDirectory(directory, 10), slotDirectory(directory, 2)]
  for (const path of [...slots, `${directory}/slot-x`, `${directory}/lock`]) await realFiles.makeDirectory(path)
  t.same(await listSlots(realFiles, directory), [2, 10])
  t.same(await listSlots(realFiles, `${directory}/missing`), [])
})

/** As an earlier program wrote it: with a shorter header, whose CRC the first frame names. */
function asVersion1 (content: Buffer): Buffer {
  const header = Buffer.from(content.subarray(0, SHORT_HEADER_BYTES / 2))
  header[4] = 1
  header[5] = 0
  let previousCrc = crc32(header.subarray(0, 60))
  header.writeUInt32BE(previousCrc, 60)
  const parts: Buffer[] = [header, header]
  for (let at = SEGMENT_HEADER_BYTES; at < content.length;) {
    const frame = decodeFrameHeader(content, at)!
    const payload = content.subarray(at + FRAME_HEADER_BYTES, at += FRAME_HEADER_BYTES + frame.payloadBytes)
    const encoded = encodeFrameHeader({ ...frame, previousCrc }, payload)
    previousCrc = encoded.crc
    parts.push(encoded.header, payload)
  }
  return Buffer.concat(parts)
}

function flip (content: Buffer, bit: number): Buffer {
  content[bit >> 3] = content[bit >> 3]! ^ (1 << (bit & 7))
  return content
}

t.test('a gap is described with its end, if that is known', (t) => {
  const gap = { epoch: 7, fromSequence: 3, toSequence: 5, bytes: 40, segment: 'a.seg' }
  t.equal(describeGap(gap), 'frames 3 to 5 of epoch 7 cannot be read (40 damaged bytes in a.seg)')
  t.equal(describeGap({ ...gap, toSequence: null }),
    'frames 3 and later of epoch 7 cannot be read (40 damaged bytes in a.seg)')
  t.end()
})
