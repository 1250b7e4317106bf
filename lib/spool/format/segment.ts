/**
 * A segment: one append-only file of frames. All numbers are big-endian.
 *
 *   slot-0/
 *     spool-id                                    the spool's id and its CRC32, as text
 *     0001760000000000-0000000000000001-00.seg    epoch, first sequence, copy
 *     quarantine/                                 copies of damaged bytes
 *
 *   0       64      128     192     256
 *   ├header─┼header─┼──ids──┼──ids──┼─frame─┬─frame─┬─ ...
 *
 *   offset bytes of a header; written twice, so that it survives a damaged bit or sector half
 *    0      4   magic "OSEG"
 *    4      1   version, 2. Version 1 has no ids; its frames begin at 128
 *    5      1   1: the ledger has a row for this spool
 *    6      2   zero
 *    8     16   id of the spool
 *   24      8   epoch of all frames in this file
 *   32      8   sequence of its first frame
 *   40     16   base: epoch and sequence of the last frame that counts before this segment; 0, 0 if there was none
 *   56      4   zero
 *   60      4   CRC32 of bytes 0 to 59
 *
 *   offset bytes of the ids; written twice as well; zero: unknown
 *    0     16   id of the epoch
 *   16     16   id of the base's epoch
 *   32     28   zero
 *   60      4   CRC32 of bytes 0 to 59 of the header followed by bytes 0 to 59 of the ids
 *
 * Invariants
 * - A segment is created, its header written and synced, and its name synced, before a frame is written to it.
 * - Each opening of the spool begins a new epoch with a new segment. The epoch's id is random: a copy of the spool may
 *   use the same number, but not the same id.
 * - A frame counts if it is after its segment's base, and not after the base of the next segment. So the next segment's
 *   base voids whatever a failed write left at the end of a file: frames that are written again after a failed sync
 *   count once, although both files may contain them.
 * - A segment is removed only when the ledger has reached the next segment's base. Two are kept even then: the newest,
 *   and the newest that names the ledger's epoch.
 * - The ledger has its row before a segment says so, and a segment says so soon after.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { LedgerPosition } from '../../journal/journal.js'
import { readUint64, writeUint64 } from './record.js'

const PART_BYTES = 64
const CHECKED_BYTES = 60
const VERSION = 2
const VERSION_WITHOUT_IDS = 1
const FLAG_ENTERED = 1
const BASE_ID_OFFSET = 16
const NO_ID = '0'.repeat(32)
const MAGIC_NUMBER = Buffer.from('OSEG', 'latin1').readUInt32BE(0)
const ID_BYTES = 16
const NAME = /^(\d{16})-(\d{16})-(\d{2,})\.seg$/

/** Frames in one write group: no more of an epoch are ever unsynced. */
export const GROUP_FRAMES_MAX = 4096

/** Offset of the first frame in version 1. */
export const SHORT_HEADER_BYTES = 2 * PART_BYTES
/** Offset of the first frame in version 2. */
export const SEGMENT_HEADER_BYTES = 4 * PART_BYTES

export interface SegmentHeader {
  /** 32 hexadecimal digits. */
  readonly spoolId: string
  readonly epoch: number
  /** 32 hexadecimal digits; null: unknown. */
  readonly epochId: string | null
  readonly firstSequence: number
  readonly base: LedgerPosition
  /** The ledger has, or had, a row for the spool. False: unknown. */
  readonly entered: boolean
}

/** A header read from disk. */
export interface FoundHeader extends SegmentHeader {
  /** The first frame names it as the CRC before it. */
  readonly crc: number
  /** Offset of the first frame. */
  readonly headerBytes: number
}

/** A segment on disk. `bytes` grows while it is the active one. */
export interface Segment extends Pick<SegmentHeader, 'epoch' | 'epochId' | 'entered'> {
  readonly name: string
  readonly path: string
  firstSequence: number
  base: LedgerPosition
  headerBytes: number
  bytes: number
}

/** A parsed file name. `copy` distinguishes files with the same first sequence; the later one counts. */
export interface SegmentName {
  readonly epoch: number
  readonly firstSequence: number
  readonly copy: number
}

/** A random id for a spool or an epoch: 128 bits, 32 hexadecimal digits. */
export function newId (): string {
  return randomBytes(ID_BYTES).toString('hex')
}

export function segmentName (name: SegmentName): string {
  const digits = (value: number): string => String(value).padStart(16, '0')
  return `${digits(name.epoch)}-${digits(name.firstSequence)}-${String(name.copy).padStart(2, '0')}.seg`
}

/** Null: not a segment's name. */
export function parseSegmentName (text: string): SegmentName | null {
  const match = NAME.exec(text)
  const name = { epoch: Number(match?.[1]), firstSequence: Number(match?.[2]), copy: Number(match?.[3]) }
  return Object.values(name).every(Number.isSafeInteger) ? name : null
}

/** Oldest first. */
export function compareSegmentNames (left: SegmentName, right: SegmentName): number {
  return left.epoch - right.epoch || left.firstSequence - right.firstSequence || left.copy - right.copy
}

/** All bytes before the first frame, and the CRC that the first frame names as the one before it. */
export function encodeSegmentHeader (header: SegmentHeader): { bytes: Buffer, crc: number } {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  bytes.writeUInt32BE(MAGIC_NUMBER, 0)
  bytes[4] = VERSION
  bytes[5] = header.entered ? FLAG_ENTERED : 0
  bytes.write(header.spoolId, 8, ID_BYTES, 'hex')
  writeUint64(bytes, header.epoch, 24)
  writeUint64(bytes, header.firstSequence, 32)
  writeUint64(bytes, header.base.epoch, 40)
  writeUint64(bytes, header.base.sequence, 48)
  const crc = crc32(bytes.subarray(0, CHECKED_BYTES))
  bytes.writeUInt32BE(crc, CHECKED_BYTES)
  bytes.copy(bytes, PART_BYTES, 0, PART_BYTES)
  const ids = bytes.subarray(SHORT_HEADER_BYTES)
  ids.write(header.epochId ?? NO_ID, 0, ID_BYTES, 'hex')
  ids.write(header.base.epochId ?? NO_ID, BASE_ID_OFFSET, ID_BYTES, 'hex')
  ids.writeUInt32BE(crc32(ids.subarray(0, CHECKED_BYTES), crc), CHECKED_BYTES)
  ids.copy(ids, PART_BYTES, 0, PART_BYTES)
  return { bytes, crc }
}

/**
 * Decodes a segment's header from the file's first bytes, however few. Null: neither copy is intact.
 * @throws {Error} a newer version of the format
 */
export function decodeSegmentHeader (source: Buffer): FoundHeader | null {
  for (const part of partsOf(source, 0)) {
    const crc = part.readUInt32BE(CHECKED_BYTES)
    if (part.readUInt32BE(0) !== MAGIC_NUMBER || crc32(part.subarray(0, CHECKED_BYTES)) !== crc) continue
    const version = part.readUInt8(4)
    if (version > VERSION) {
      throw new Error(`this spool was written in version ${version} of the format, by a newer program: run that one`)
    }
    const short = version === VERSION_WITHOUT_IDS
    const ids = short ? null : findIds(source, crc)
    return {
      spoolId: part.toString('hex', 8, 8 + ID_BYTES),
      epoch: readUint64(part, 24),
      epochId: idAt(ids, 0),
      firstSequence: readUint64(part, 32),
      base: { epoch: readUint64(part, 40), sequence: readUint64(part, 48), epochId: idAt(ids, BASE_ID_OFFSET) },
      entered: (part.readUInt8(5) & FLAG_ENTERED) !== 0,
      crc,
      headerBytes: short ? SHORT_HEADER_BYTES : SEGMENT_HEADER_BYTES
    }
  }
  return null
}

/** Part of an encoded header, and its offset in the file. */
interface HeaderPart {
  readonly offset: number
  readonly bytes: Buffer
}

/** Both copies of an encoded header: written one after the other, a torn write leaves one of them intact. */
export function headerCopies (header: Buffer): readonly HeaderPart[][] {
  const partAt = (offset: number): HeaderPart => ({ offset, bytes: header.subarray(offset, offset + PART_BYTES) })
  return [0, PART_BYTES].map((offset) => [partAt(offset), partAt(SHORT_HEADER_BYTES + offset)])
}

/** The ids that belong to the header with this CRC. Null: neither copy is intact. */
function findIds (source: Buffer, headerCrc: number): Buffer | null {
  const isIntact = (ids: Buffer): boolean =>
    crc32(ids.subarray(0, CHECKED_BYTES), headerCrc) === ids.readUInt32BE(CHECKED_BYTES)
  return partsOf(source, SHORT_HEADER_BYTES).find(isIntact) ?? null
}

/** Both copies of the part at `offset`, without those that are cut short. */
function partsOf (source: Buffer, offset: number): Buffer[] {
  const parts = [offset, offset + PART_BYTES].map((at) => source.subarray(at, at + PART_BYTES))
  return parts.filter(({ length }) => length === PART_BYTES)
}

function idAt (ids: Buffer | null, offset: number): string | null {
  const id = ids?.toString('hex', offset, offset + ID_BYTES) ?? NO_ID
  return id === NO_ID ? null : id
}
