/**
 * A message of a stream: a frame, a part of one, or a seal. All numbers are big-endian.
 *
 *   offset bytes
 *    0      4   magic "OLOG"
 *    4      1   version, 1
 *    5      1   kind: 1 part of a frame, 2 seal
 *    6      2   part, from 0
 *    8      2   parts of the frame
 *   10      2   zero
 *   12      8   sequence of the frame; of a seal: of the last complete frame before it
 *   20      8   rows of the epoch before this frame; of a seal: before the seal
 *   28      8   sequence up to which frames were known to be committed
 *   36      4   rows of the frame
 *   40      4   CRC32 of the frame (bytes 44 to 47 of its header)
 *   44      4   CRC32 of bytes 0 to 43
 *   48      n   this part of the frame: lib/spool/format/record.ts
 *
 * Invariants
 * - The parts of a frame have consecutive positions. Parts that the last one does not follow are void: they were never
 *   acknowledged.
 * - The first seal ends the epoch. Messages behind it are void: a writer that had several under way when the seal was
 *   stored may have got some of them in behind it, but takes none of them for stored (publish/publisher.ts).
 */
import { crc32 } from 'node:zlib'
import { FRAME_HEADER_BYTES, readUint64, writeUint64 } from '../spool/format/record.js'

export const MESSAGE_HEADER_BYTES = 48
/** The number of parts is two bytes. */
export const FRAME_PARTS_MAX = 0xffff

const MAGIC = Buffer.from('OLOG', 'latin1').readUInt32BE(0)
const VERSION = 1
const KIND_PART = 1
const KIND_SEAL = 2
const CHECKED_BYTES = 44

export interface MessageHeader {
  readonly isSeal: boolean
  readonly part: number
  readonly parts: number
  readonly sequence: number
  readonly rowsBefore: number
  readonly committed: number
  readonly rows: number
  /** Of the whole frame. */
  readonly crc: number
}

/** A frame to be sent. */
export interface OutgoingFrame extends Omit<MessageHeader, 'isSeal' | 'part'> {
  /** In the format of the spool. */
  readonly header: Buffer
  readonly payload: Buffer
}

/** How many messages a frame needs. */
export function partsOf (payloadBytes: number, messageBytesMax: number): number {
  return Math.ceil((FRAME_HEADER_BYTES + payloadBytes) / (messageBytesMax - MESSAGE_HEADER_BYTES))
}

/** Builds one message of a frame; copies the bytes. */
export function encodePart (frame: OutgoingFrame, part: number, messageBytesMax: number): Buffer {
  const bytesMax = messageBytesMax - MESSAGE_HEADER_BYTES
  const total = FRAME_HEADER_BYTES + frame.payload.length
  const from = part * bytesMax
  const to = Math.min(total, from + bytesMax)
  const message = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES + to - from)
  writeHeader(message, { ...frame, isSeal: false, part })
  let at = MESSAGE_HEADER_BYTES
  if (from < FRAME_HEADER_BYTES) at += frame.header.copy(message, at, from, Math.min(to, FRAME_HEADER_BYTES))
  const payloadFrom = Math.max(0, from - FRAME_HEADER_BYTES)
  if (to > FRAME_HEADER_BYTES) frame.payload.copy(message, at, payloadFrom, to - FRAME_HEADER_BYTES)
  return message
}

/** @param through sequence of the last complete frame; @param rows up to it */
export function encodeSeal (through: number, rows: number): Buffer {
  const message = Buffer.allocUnsafe(MESSAGE_HEADER_BYTES)
  const none = { part: 0, parts: 0, committed: 0, rows: 0, crc: 0 }
  writeHeader(message, { isSeal: true, sequence: through, rowsBefore: rows, ...none })
  return message
}

/** Null: not a message of this program, or damaged. */
export function decodeHeader (message: Buffer): MessageHeader | null {
  if (message.length < MESSAGE_HEADER_BYTES || message.readUInt32BE(0) !== MAGIC || message[4] !== VERSION) return null
  if (message.readUInt32BE(CHECKED_BYTES) !== crc32(message.subarray(0, CHECKED_BYTES))) return null
  const kind = message[5]
  const header = {
    isSeal: kind === KIND_SEAL,
    part: message.readUInt16BE(6),
    parts: message.readUInt16BE(8),
    sequence: readUint64(message, 12),
    rowsBefore: readUint64(message, 20),
    committed: readUint64(message, 28),
    rows: message.readUInt32BE(36),
    crc: message.readUInt32BE(40)
  }
  const isPart = kind === KIND_PART && header.part < header.parts
  const isSafe = [header.sequence, header.rowsBefore, header.committed].every(Number.isSafeInteger)
  return (isPart || header.isSeal) && isSafe ? header : null
}

function writeHeader (target: Buffer, header: MessageHeader): void {
  target.writeUInt32BE(MAGIC, 0)
  target[4] = VERSION
  target[5] = header.isSeal ? KIND_SEAL : KIND_PART
  target.writeUInt16BE(header.part, 6)
  target.writeUInt16BE(header.parts, 8)
  target.writeUInt16BE(0, 10)
  writeUint64(target, header.sequence, 12)
  writeUint64(target, header.rowsBefore, 20)
  writeUint64(target, header.committed, 28)
  target.writeUInt32BE(header.rows, 36)
  target.writeUInt32BE(header.crc, 40)
  target.writeUInt32BE(crc32(target.subarray(0, CHECKED_BYTES)), CHECKED_BYTES)
}
