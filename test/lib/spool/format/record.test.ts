/** Frames and segment headers as bytes. */
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import fc from 'fast-check'
import {
  FRAME_HEADER_BYTES, decodeFrameHeader, encodeFrameHeader, frameIsIntact
} from '../../../../lib/spool/format/record.js'
import {
  SEGMENT_HEADER_BYTES, SHORT_HEADER_BYTES, compareSegmentNames, decodeSegmentHeader, encodeSegmentHeader, newId,
  parseSegmentName, segmentName
} from '../../../../lib/spool/format/segment.js'
import { SegmentScanner } from '../../../../lib/spool/format/scanner.js'
import { POSITION_START } from '../../../../lib/spool/format/position.js'
import { ExtentReader } from '../../../../lib/spool/extent-reader.js'
import { realFiles, type OpenFile } from '../../../../lib/spool/file-system.js'
import type { ClosedBatch } from '../../../../lib/journal/journal.js'
import type { Segment } from '../../../../lib/spool/format/segment.js'

const uint32 = fc.integer({ min: 0, max: 0xFFFF_FFFF })
const uint53 = fc.maxSafeNat()
const frame = fc.record({
  rowFormat: fc.integer({ min: 0, max: 255 }),
  rows: uint32,
  epoch: uint53,
  sequence: uint53,
  appendedAtMs: uint53,
  previousCrc: uint32
})
const bytes = fc.uint8Array({ maxLength: 500 }).map((array) => Buffer.from(array))

t.test('a frame is decoded to what was encoded', (t) => {
  fc.assert(fc.property(frame, bytes, fc.nat(20), (fields, payload, offset) => {
    const { header, crc } = encodeFrameHeader(fields, payload)
    const source = Buffer.concat([Buffer.alloc(offset), header, payload])
    const decoded = decodeFrameHeader(source, offset)
    return decoded !== null && frameIsIntact(source, offset, decoded) &&
      isDeepStrictEqual(decoded, { ...fields, payloadBytes: payload.length, crc })
  }))
  t.end()
})

t.test('no flipped bit of a frame passes', (t) => {
  fc.assert(fc.property(frame, bytes, fc.nat(), (fields, payload, bit) => {
    const source = Buffer.concat([encodeFrameHeader(fields, payload).header, payload])
    const at = bit % (source.length * 8)
    source[at >> 3] = source[at >> 3]! ^ (1 << (at & 7))
    const decoded = decodeFrameHeader(source, 0)
    // The scanner never checks a frame whose length is beyond the file.
    return decoded === null || decoded.payloadBytes > payload.length || !frameIsIntact(source, 0, decoded)
  }))
  t.end()
})

t.test('a segment header is decoded to what was encoded, from either copy', (t) => {
  const position = fc.record({ epoch: uint53, sequence: uint53 })
  fc.assert(fc.property(position, position, fc.nat(SEGMENT_HEADER_BYTES * 8 - 1), (first, last, bit) => {
    const { epoch, sequence: firstSequence } = first
    const base = { ...last, epochId: bit % 2 === 0 ? null : newId() }
    const header = { spoolId: newId(), epoch, epochId: newId(), firstSequence, base, entered: bit % 3 === 0 }
    const { bytes, crc } = encodeSegmentHeader(header)
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
    return isDeepStrictEqual(decodeSegmentHeader(bytes), { ...header, crc, headerBytes: SEGMENT_HEADER_BYTES })
  }))
  const base = { epoch: 0, sequence: 0, epochId: newId() }
  const header = { spoolId: newId(), epoch: 1, epochId: newId(), firstSequence: 1, base, entered: true }
  const withoutIds = encodeSegmentHeader(header).bytes.fill(0xAA, SHORT_HEADER_BYTES)
  t.match(decodeSegmentHeader(withoutIds), { epochId: null, base: { epochId: null }, entered: true })
  t.equal(decodeSegmentHeader(Buffer.alloc(10)), null)
  t.equal(decodeSegmentHeader(Buffer.alloc(SEGMENT_HEADER_BYTES)), null)
  t.end()
})

t.test('segment names are parsed, and sorted by epoch, sequence and copy', (t) => {
  const name = { epoch: 1_760_000_000_000, firstSequence: 17, copy: 3 }
  t.same(parseSegmentName(segmentName(name)), name)
  const tooLarge = '9999999999999999-0000000000000001-00.seg'
  for (const other of ['spool-id', 'x.seg', '1-1-1.seg', tooLarge, `${segmentName(name)}.bak`]) {
    t.equal(parseSegmentName(other), null, other)
  }
  const order = [
    { epoch: 1, firstSequence: 9, copy: 0 },
    { epoch: 2, firstSequence: 1, copy: 0 },
    { epoch: 2, firstSequence: 1, copy: 100 },
    { epoch: 2, firstSequence: 2, copy: 99 }
  ]
  t.same([...order].reverse().sort(compareSegmentNames), order)
  t.end()
})

/** A file with these bytes. */
const systemError = (code: string): Error => Object.assign(new Error(code), { code })

function fileOf (content: Buffer): OpenFile {
  const unused = async (): Promise<never> => await Promise.reject(new Error('only read'))
  return {
    read: async (target, position) => await Promise.resolve(content.copy(target, 0, position)),
    write: unused,
    size: unused,
    truncate: unused,
    sync: unused,
    close: unused
  }
}

interface Seen {
  readonly sequences: number[]
  readonly damage: Array<{ offset: number, bytes: number, atEnd: boolean }>
}

async function scan (content: Buffer, file = fileOf(content)): Promise<Seen> {
  const seen: Seen = { sequences: [], damage: [] }
  await new SegmentScanner(file, { epoch: 5, offset: 0, end: content.length, lastSequence: 0, previousCrc: 7 }).scan({
    frame: ({ header }) => seen.sequences.push(header.sequence) > 0,
    damage: (offset, bytes, atEnd) => seen.damage.push({ offset, bytes, atEnd })
  })
  return seen
}

function chain (count: number, payloadBytes: (index: number) => number): Buffer[] {
  const frames: Buffer[] = []
  let previousCrc = 7
  for (let index = 0; index < count; index++) {
    const payload = Buffer.alloc(payloadBytes(index), index)
    const fields = { rowFormat: 1, rows: 1, epoch: 5, sequence: index + 1, appendedAtMs: 1, previousCrc }
    const { header, crc } = encodeFrameHeader(fields, payload)
    previousCrc = crc
    frames.push(Buffer.concat([header, payload]))
  }
  return frames
}

t.test('the scanner finds every frame, across windows and with payloads larger than one', async (t) => {
  const frames = chain(60, (index) => index === 30 ? 3_000_000 : index * 2000)
  t.same(await scan(Buffer.concat(frames)), { sequences: frames.map((_, index) => index + 1), damage: [] })
})

t.test('the scanner continues behind damage of any length', async (t) => {
  const frames = chain(6, () => 100)
  for (const garbage of [1, 3, FRAME_HEADER_BYTES, 1024 * 1024 - 1, 1024 * 1024 + 2, 2_500_000]) {
    const parts = [...frames.slice(0, 2), Buffer.alloc(garbage, 'OFR'), ...frames.slice(3)]
    const damage = [{ offset: 296, bytes: garbage, atEnd: false }]
    t.same(await scan(Buffer.concat(parts)), { sequences: [1, 2, 4, 5, 6], damage }, `${garbage} bytes`)
  }
})

t.test('an unreadable sector costs the frames in it, not the file', async (t) => {
  const content = Buffer.concat(chain(20, () => 1000 - FRAME_HEADER_BYTES))
  const file = fileOf(content)
  const read = async (target: Buffer, position: number): Promise<number> => {
    if (position < 8192 && position + target.length > 4096) throw systemError('EIO')
    return await file.read(target, position)
  }
  t.same(await scan(content, { ...file, read }), {
    sequences: [1, 2, 3, 4, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
    damage: [{ offset: 4000, bytes: 5000, atEnd: false }]
  })
})

t.test('a file that cannot be read at the moment is not damaged', async (t) => {
  const content = Buffer.concat(chain(3, () => 100))
  for (const failing of [1, 2]) {
    let reads = 0
    const read = async (target: Buffer, position: number): Promise<number> => {
      reads++
      const code = reads < failing ? 'EIO' : 'ESTALE'
      return await (reads > failing ? fileOf(content).read(target, position) : Promise.reject(systemError(code)))
    }
    await t.rejects(scan(content, { ...fileOf(content), read }), { code: 'ESTALE' })
  }
})

t.test('frames are read back once the file can be opened anew', async (t) => {
  const content = Buffer.concat(chain(3, () => 100))
  const read = async (): Promise<never> => await Promise.reject(systemError('ESTALE'))
  const stale = { ...fileOf(content), read, close: async () => {} }
  const opened = [stale, fileOf(content)]
  const open = async (): Promise<OpenFile> => await Promise.resolve(opened.shift()!)
  const reader = new ExtentReader({ ...realFiles, open }, '/spool')
  const segment = { path: '/spool/1', name: '1' } as unknown as Segment
  const extent = {
    segment,
    epoch: 5,
    first: 1,
    last: 3,
    offset: 0,
    end: content.length,
    rows: 3,
    bytes: 300,
    oldestAtMs: 1,
    waiters: new Map<number, ClosedBatch>()
  }
  await t.rejects(reader.read(extent, 1000, POSITION_START), { code: 'ESTALE' })
  t.match(await reader.read(extent, 1000, POSITION_START), { frames: { length: 3 }, gaps: { length: 0 } })
})

t.test('a valid frame that was not written after the previous one is rejected', async (t) => {
  const frames = chain(3, () => 10)
  const other = chain(3, () => 11)
  const mixed = Buffer.concat([frames[0]!, frames[1]!, other[2]!])
  t.match(await scan(mixed), { sequences: [1, 2], damage: [{ atEnd: true }] })
})
