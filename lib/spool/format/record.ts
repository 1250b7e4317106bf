/**
 * A frame on disk: one closed batch of rows. All numbers are big-endian.
 *
 *   offset bytes
 *    0      4   magic "OFRM"
 *    4      1   version of this header, 1
 *    5      1   row format: the format of the payload
 *    6      2   zero
 *    8      4   payload length in bytes, at most FRAME_PAYLOAD_BYTES_MAX
 *   12      4   rows in the payload
 *   16      8   epoch: increases with each opening of the spool
 *   24      8   sequence: 1, 2, 3, ... within the epoch, without gaps
 *   32      8   time of the append, milliseconds since 1970
 *   40      4   CRC32 of the previous frame (its bytes 44 to 47); for the first frame, of the segment's header
 *   44      4   CRC32 of bytes 0 to 43 and the payload
 *   48      n   payload, in its row format (lib/pipeline/rows/payload.ts)
 *
 * Invariants
 * - A frame whose CRC32 does not match is never delivered.
 * - The CRC of the previous frame chains the frames of a segment. A frame right behind another that was not written
 *   after it (left over from a write that was cut back) breaks the chain and is not delivered.
 * - Behind damaged bytes the next frame is found by its magic, and accepted if its CRC32 and epoch match and its
 *   sequence is higher than the last.
 */
import { crc32 } from 'node:zlib'

export const FRAME_HEADER_BYTES = 48
/** A larger length is damage, not a frame. */
export const FRAME_PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
export const FRAME_MAGIC = Buffer.from('OFRM', 'latin1')

const VERSION = 1
const MAGIC_NUMBER = FRAME_MAGIC.readUInt32BE(0)
const CHECKED_BYTES = FRAME_HEADER_BYTES - 4
const WORD = 0x1_0000_0000

export interface FrameHeader {
  readonly rowFormat: number
  readonly payloadBytes: number
  readonly rows: number
  readonly epoch: number
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly appendedAtMs: number
  /** CRC of the previous frame, or of the segment's header. */
  readonly previousCrc: number
  readonly crc: number
}

/** Writes a non-negative safe integer as 64 bits. */
export function writeUint64 (target: Buffer, value: number, offset: number): void {
  target.writeUInt32BE(Math.floor(value / WORD), offset)
  target.writeUInt32BE(value % WORD, offset + 4)
}

/** Reads 64 bits; inexact beyond 2^53, which callers reject with Number.isSafeInteger. */
export function readUint64 (source: Buffer, offset: number): number {
  return source.readUInt32BE(offset) * WORD + source.readUInt32BE(offset + 4)
}

/** Encodes the header of a frame with this payload, and computes its CRC. */
export function encodeFrameHeader (
  fields: Omit<FrameHeader, 'crc' | 'payloadBytes'>, payload: Buffer
): { header: Buffer, crc: number } {
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
  header.writeUInt32BE(MAGIC_NUMBER, 0)
  header[4] = VERSION
  header[5] = fields.rowFormat
  header.writeUInt16BE(0, 6)
  header.writeUInt32BE(payload.length, 8)
  header.writeUInt32BE(fields.rows, 12)
  writeUint64(header, fields.epoch, 16)
  writeUint64(header, fields.sequence, 24)
  writeUint64(header, fields.appendedAtMs, 32)
  header.writeUInt32BE(fields.previousCrc, 40)
  const crc = crc32(payload, crc32(header.subarray(0, CHECKED_BYTES)))
  header.writeUInt32BE(crc, CHECKED_BYTES)
  return { header, crc }
}

/**
 * Decodes the header at `offset`; `source` must contain all of it. Null: not a frame.
 * Does not check the CRC, since the payload may not have been read yet: see frameIsIntact().
 */
export function decodeFrameHeader (source: Buffer, offset: number): FrameHeader | null {
  if (source.readUInt32BE(offset) !== MAGIC_NUMBER) return null
  if (source[offset + 4] !== VERSION || source.readUInt16BE(offset + 6) !== 0) return null
  const payloadBytes = source.readUInt32BE(offset + 8)
  const epoch = readUint64(source, offset + 16)
  const sequence = readUint64(source, offset + 24)
  if (payloadBytes > FRAME_PAYLOAD_BYTES_MAX) return null
  if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(sequence)) return null
  return {
    rowFormat: source.readUInt8(offset + 5),
    payloadBytes,
    rows: source.readUInt32BE(offset + 12),
    epoch,
    sequence,
    appendedAtMs: readUint64(source, offset + 32),
    previousCrc: source.readUInt32BE(offset + 40),
    crc: source.readUInt32BE(offset + CHECKED_BYTES)
  }
}

/** Whether the CRC of the frame at `offset` matches; `source` must contain all of its payload. */
export function frameIsIntact (source: Buffer, offset: number, header: FrameHeader): boolean {
  const payloadStart = offset + FRAME_HEADER_BYTES
  const ofHeader = crc32(source.subarray(offset, offset + CHECKED_BYTES))
  return crc32(source.subarray(payloadStart, payloadStart + header.payloadBytes), ofHeader) === header.crc
}
