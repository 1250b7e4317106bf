/** Reads the frames of a stream, in order, a bounded part at a time. */
import type { Frame } from '../spool/frame.js'
import {
  decodeFrameHeader, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, frameIsIntact
} from '../spool/format/record.js'
import type { Reach, ReplicatedLog, StoredMessage } from './replicated-log.js'
import { decodeHeader, MESSAGE_HEADER_BYTES, type MessageHeader } from './message.js'
import type { LaneStream } from './publish/pending.js'

/** Messages asked for at once. */
const READ_AHEAD = 8

export interface ReadFrame extends Frame<LaneStream> {
  /** Position of its last message. */
  readonly last: number
  /** Rows of the epoch before it. */
  readonly rowsBefore: number
  /** Sequence up to which frames were known to be committed when it was sent. */
  readonly committed: number
}

export interface ReadFrames {
  readonly frames: readonly ReadFrame[]
  /** Where to read on: behind the last complete frame. */
  readonly next: number
  /** Position behind the last message seen. */
  readonly seen: number
  /** The seal that ends the epoch was reached; null: not yet. */
  readonly seal: { readonly position: number, readonly sequence: number, readonly rows: number } | null
  /** The last frame that was complete once, as its last message or a later one shows, and the epoch's rows up to it. */
  readonly reach: Reach
  /** Nothing more is in the stream. */
  readonly atEnd: boolean
}

interface Part {
  readonly header: MessageHeader
  readonly message: StoredMessage
}

/**
 * Reads complete frames from a position on: at least one if there is one, then up to bytesMax.
 * @param lastSequence reads no further
 * @throws {LogError} the log does not answer, or has no such stream
 */
export async function readFrames (
  log: ReplicatedLog, stream: LaneStream, from: number, bytesMax: number, lastSequence = Number.POSITIVE_INFINITY
): Promise<ReadFrames> {
  const frames: ReadFrame[] = []
  let next = from
  let position = from
  let reach: Reach = { sequence: 0, rows: 0 }
  let bytes = 0
  let parts: Part[] = []
  for (;;) {
    const messages = await readAhead(log, stream, position)
    if (messages.length === 0) return { frames, next, seal: null, reach, atEnd: true, seen: position }
    for (const message of messages) {
      position = message.position + 1
      const header = decodeHeader(message.bytes)
      if (header?.isSeal === true) {
        const seal = { position: message.position, sequence: header.sequence, rows: header.rowsBefore }
        return { frames, next, seal, reach, atEnd: true, seen: position }
      }
      if (header !== null) reach = reachOf(header)
      if (header === null || !continues(parts, header, message.position)) parts = []
      if (header === null || header.part !== parts.length) {
        next = position
        continue
      }
      parts.push({ header, message })
      if (parts.length < header.parts) continue
      const frame = assemble(stream, parts)
      if (frame !== null) frames.push(frame)
      parts = []
      next = position
      bytes += frame?.payload.length ?? 0
      if (bytes >= bytesMax || header.sequence >= lastSequence) {
        return { frames, next, seal: null, reach, atEnd: false, seen: position }
      }
    }
  }
}

/**
 * Consecutive messages. Only the answer to the first question may skip positions: the others may have been asked before
 * a message was appended in front of theirs.
 */
async function readAhead (log: ReplicatedLog, stream: LaneStream, from: number): Promise<StoredMessage[]> {
  const asked = Array.from({ length: READ_AHEAD }, async (_, index) => await log.next(stream, from + index))
  const found = await Promise.all(asked)
  const first = found[0] ?? null
  if (first === null) return []
  const rest = found.filter((message) => message !== null && message.position > first.position)
  const messages = [first]
  for (const message of rest) if (message?.position === first.position + messages.length) messages.push(message)
  return messages
}

/** A message is accepted only behind all before it. */
function reachOf ({ sequence, rowsBefore, rows, part, parts }: MessageHeader): Reach {
  return part === parts - 1 ? { sequence, rows: rowsBefore + rows } : { sequence: sequence - 1, rows: rowsBefore }
}

function continues (parts: readonly Part[], header: MessageHeader, position: number): boolean {
  const before = parts.at(-1)
  if (before === undefined) return true
  return before.header.sequence === header.sequence && before.header.crc === header.crc &&
    before.header.part + 1 === header.part && before.message.position + 1 === position
}

/** Null: damaged, or not of this epoch. */
function assemble (segment: LaneStream, parts: readonly Part[]): ReadFrame | null {
  const [first, last] = [parts[0], parts.at(-1)]
  if (first === undefined || last === undefined) return null
  const bytes = Buffer.concat(parts.map(({ message }) => message.bytes.subarray(MESSAGE_HEADER_BYTES)))
  if (bytes.length < FRAME_HEADER_BYTES || bytes.length > FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX) return null
  const header = decodeFrameHeader(bytes, 0)
  if (header === null || header.payloadBytes !== bytes.length - FRAME_HEADER_BYTES) return null
  const { epoch, sequence, rows, appendedAtMs } = header
  if (epoch !== segment.epoch || sequence !== first.header.sequence || !frameIsIntact(bytes, 0, header)) return null
  return {
    segment,
    offset: first.message.position,
    last: last.message.position,
    epoch,
    sequence,
    rows,
    rowsBefore: first.header.rowsBefore,
    committed: first.header.committed,
    appendedAtMs,
    payload: bytes.subarray(FRAME_HEADER_BYTES),
    batch: null
  }
}
