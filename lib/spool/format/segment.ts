/**
 * A segment: one append-only file of frames. All numbers are big-endian.
 *
 *   slot-0/
 *     spool-id                                    the spool's id and its CRC32, as text
 *     0001760000000000-0000000000000001-00.seg    epoch, first sequence, copy
 *     in-ledger                                   what the spool knows of its ledger, see ledger-note.ts
 *     quarantine/                                 copies of damaged bytes
 *
 *   0       64      128
 *   ├header─┼header─┼─frame─┬─frame─┬─ ...
 *
 *   offset bytes of a header; it stands twice, so that no single damaged bit or sector half costs it
 *    0      4   magic "OSEG"
 *    4      1   version, 1
 *    5      3   zero
 *    8     16   id of the spool
 *   24      8   epoch of all frames in this file
 *   32      8   sequence of its first frame
 *   40     16   base: epoch and sequence of the last frame that counts before this segment; 0, 0 if there was none
 *   56      4   zero
 *   60      4   CRC32 of bytes 0 to 59
 *
 * Invariants
 * - A segment is created, its header written and synced, and its name synced, before a frame goes into it.
 * - Each opening of the spool begins a new epoch and with it a new segment.
 * - Of the frames in a segment those count that stand after its base and not after the base of the next segment.
 *   So whatever a write that failed left at the end of a file, the next segment's base says that it is nothing:
 *   frames that are written again after a failed sync exist once, though both files may hold them.
 * - A segment is removed only when the ledger stands at the next segment's base or beyond. So the base of the oldest
 *   segment never stands after the ledger, and one that does means that the database has lost what it had committed.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Position } from '../../journal/journal.js'
import { readUint64, writeUint64 } from './record.js'

const COPY_BYTES = 64
const CHECKED_BYTES = 60
const VERSION = 1
const MAGIC_NUMBER = Buffer.from('OSEG', 'latin1').readUInt32BE(0)
const ID_BYTES = 16
const NAME = /^(\d{16})-(\d{16})-(\d{2,})\.seg$/

/** Both copies: where the first frame begins. */
export const SEGMENT_HEADER_BYTES = 2 * COPY_BYTES

export interface SegmentHeader {
  /** 32 hexadecimal digits. */
  readonly spoolId: string
  readonly epoch: number
  readonly firstSequence: number
  readonly base: Position
}

/** A segment that exists on disk. `bytes` grows while it is the active one. */
export interface Segment {
  readonly name: string
  readonly path: string
  readonly epoch: number
  readonly firstSequence: number
  readonly base: Position
  bytes: number
}

/** What a segment's name says. `copy` tells files of the same first sequence apart: the later one counts. */
export interface SegmentName {
  readonly epoch: number
  readonly firstSequence: number
  readonly copy: number
}

/** A new random id: 128 bits, 32 hexadecimal digits. */
export function newSpoolId (): string {
  return randomBytes(ID_BYTES).toString('hex')
}

export function segmentName (name: SegmentName): string {
  const digits = (value: number): string => String(value).padStart(16, '0')
  return `${digits(name.epoch)}-${digits(name.firstSequence)}-${String(name.copy).padStart(2, '0')}.seg`
}

/** Null: not the name of a segment. */
export function parseSegmentName (text: string): SegmentName | null {
  const match = NAME.exec(text)
  const name = { epoch: Number(match?.[1]), firstSequence: Number(match?.[2]), copy: Number(match?.[3]) }
  return Object.values(name).every(Number.isSafeInteger) ? name : null
}

/** Oldest first. */
export function compareSegmentNames (left: SegmentName, right: SegmentName): number {
  return left.epoch - right.epoch || left.firstSequence - right.firstSequence || left.copy - right.copy
}

/** Both copies, and the CRC that the first frame names as the one before. */
export function encodeSegmentHeader (header: SegmentHeader): { bytes: Buffer, crc: number } {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  bytes.writeUInt32BE(MAGIC_NUMBER, 0)
  bytes[4] = VERSION
  bytes.write(header.spoolId, 8, ID_BYTES, 'hex')
  writeUint64(bytes, header.epoch, 24)
  writeUint64(bytes, header.firstSequence, 32)
  writeUint64(bytes, header.base.epoch, 40)
  writeUint64(bytes, header.base.sequence, 48)
  const crc = crc32(bytes.subarray(0, CHECKED_BYTES))
  bytes.writeUInt32BE(crc, CHECKED_BYTES)
  bytes.copy(bytes, COPY_BYTES, 0, COPY_BYTES)
  return { bytes, crc }
}

/**
 * Reads a segment's header from the file's first bytes (fewer are fine). Null: neither copy is whole.
 * @throws {Error} a version that this program does not know
 */
export function decodeSegmentHeader (source: Buffer): (SegmentHeader & { readonly crc: number }) | null {
  for (let offset = 0; offset + COPY_BYTES <= source.length && offset < SEGMENT_HEADER_BYTES; offset += COPY_BYTES) {
    const copy = source.subarray(offset, offset + COPY_BYTES)
    const crc = copy.readUInt32BE(CHECKED_BYTES)
    if (copy.readUInt32BE(0) !== MAGIC_NUMBER || crc32(copy.subarray(0, CHECKED_BYTES)) !== crc) continue
    if (copy[4] !== VERSION) throw new Error(`this spool was written in version ${String(copy[4])} of the format, by a newer program: run that one`)
    return {
      spoolId: copy.toString('hex', 8, 8 + ID_BYTES),
      epoch: readUint64(copy, 24),
      firstSequence: readUint64(copy, 32),
      base: { epoch: readUint64(copy, 40), sequence: readUint64(copy, 48) },
      crc
    }
  }
  return null
}
