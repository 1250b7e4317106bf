/** Frames on their way into the log. */
import type { ClosedBatch } from '../../journal/journal.js'
import { encodeFrameHeader, FRAME_HEADER_BYTES } from '../../spool/format/record.js'
import type { Mark } from './comparison.js'
import { partsOf, type OutgoingFrame } from '../message.js'

/** The stream of one epoch. */
export interface LaneStream {
  readonly lane: string
  readonly epoch: number
  readonly epochId: string
}

/** A frame that is in the log. */
export interface StoredFrame {
  readonly stream: LaneStream
  readonly batch: ClosedBatch
  readonly payload: Buffer
  readonly sequence: number
  readonly rows: number
  readonly appendedAtMs: number
  /** Positions of its first and last message. */
  readonly first: number
  readonly last: number
  /** Of its messages. */
  readonly bytes: number
  /** Its batch was told that the outcome is unknown. */
  readonly wasAnswered: boolean
}

/** A frame with a number, whose messages are being sent. */
export interface Pending extends OutgoingFrame {
  readonly batch: ClosedBatch
  readonly appendedAtMs: number
  readonly queuedMs: number
  readonly first: number
  readonly messageBytesMax: number
  /** Of each message: answered with success, or read back. */
  readonly stored: boolean[]
  /** Of each message: how often it was sent without an answer. */
  readonly open: number[]
  wasAnswered: boolean
}

/** A batch without a number. */
export interface Waiting {
  readonly batch: ClosedBatch
  readonly queuedMs: number
  /** It was told that the outcome is unknown, and is tried on. */
  readonly wasAnswered: boolean
}

/**
 * Gives a batch its number and its place in the epoch.
 * @param before the frame before it
 */
export function numberFrame (
  { batch, queuedMs, wasAnswered }: Waiting,
  before: Mark,
  { epoch, rowFormat, committed, messageBytesMax, appendedAtMs }: {
    readonly epoch: number
    readonly rowFormat: number
    readonly committed: number
    readonly messageBytesMax: number
    readonly appendedAtMs: number
  }
): Pending {
  const { payload, rows } = batch
  const sequence = before.sequence + 1
  const { header, crc } = encodeFrameHeader(
    { rowFormat, rows, epoch, sequence, appendedAtMs, previousCrc: before.crc }, payload)
  const parts = partsOf(payload.length, messageBytesMax)
  return {
    batch,
    header,
    payload,
    sequence,
    rows,
    rowsBefore: before.rows,
    committed,
    crc,
    parts,
    appendedAtMs,
    queuedMs,
    first: before.position + 1,
    messageBytesMax,
    stored: Array.from({ length: parts }, () => false),
    open: Array.from({ length: parts }, () => 0),
    wasAnswered
  }
}

/** Its end, for the next one. */
export function markOf ({ sequence, rowsBefore, rows, crc, first, parts }: Pending): Mark {
  return { sequence, rows: rowsBefore + rows, crc, position: first + parts - 1 }
}

/**
 * The stream has these messages of the frame, and no others. One that it had answered before, and has lost, is sent
 * again; a copy of it may still arrive, so it is never certain that there is none.
 */
export function noteStored ({ stored, open }: Pending, found: ReadonlySet<number>): void {
  for (const [part, wasStored] of stored.entries()) {
    stored[part] = found.has(part)
    if (wasStored && !found.has(part)) open[part] = (open[part] ?? 0) + 1
  }
}

export function storedFrame (stream: LaneStream, frame: Pending): StoredFrame {
  const { batch, payload, sequence, rows, appendedAtMs, first, parts, wasAnswered } = frame
  const bytes = payload.length + FRAME_HEADER_BYTES
  return { stream, batch, payload, sequence, rows, appendedAtMs, first, last: first + parts - 1, bytes, wasAnswered }
}
