/** Compares what a stream has with what its writer sent, after something failed. */
import type { ReplicatedLog, StreamName } from '../replicated-log.js'
import { decodeHeader, type MessageHeader } from '../message.js'

/** The end of what is certain: a frame and its last message. */
export interface Mark {
  readonly sequence: number
  /** Of the epoch, up to this frame. */
  readonly rows: number
  readonly crc: number
  readonly position: number
}

/** Before the first frame of an epoch. */
export const START: Mark = { sequence: 0, rows: 0, crc: 0, position: 0 }

/** A frame whose messages may be in the stream. */
export interface SentFrame {
  readonly sequence: number
  readonly crc: number
  /** Position of its first message. */
  readonly first: number
  readonly parts: number
  /** Of each message: answered with success, or read back. */
  readonly stored: readonly boolean[]
}

/**
 * `stored`: the messages of sent frames that are in the stream, by index of the frame.
 *
 * - fits: nothing else is behind the tail; what is not stored may be sent again.
 * - sealed: somebody has sealed the stream; what is not stored never will be. `lost`: it lacks some of what is, or the
 *   seal has the place of a message that was answered.
 * - ends: the stream ends before the tail.
 * - foreign: a message is neither a sent one nor a seal.
 */
export type Comparison =
  | { readonly kind: 'fits', readonly lost: false, readonly stored: readonly StoredPart[] }
  | { readonly kind: 'sealed', readonly lost: boolean, readonly stored: readonly StoredPart[] }
  | { readonly kind: 'ends', readonly lost: true, readonly last: number, readonly stored: readonly StoredPart[] }
  | { readonly kind: 'foreign', readonly position: number }

export interface StoredPart {
  readonly frame: number
  readonly part: number
}

/**
 * @param tail what is certain to be in the stream
 * @param sent the frames behind it, in order
 * @throws {LogError} the log does not answer, or has no such stream
 */
export async function compareStream (
  log: ReplicatedLog, stream: StreamName, tail: Mark, sent: readonly SentFrame[]
): Promise<Comparison> {
  const last = await log.last(stream)
  if (last < tail.position) {
    const end = last === 0 ? null : await log.next(stream, last)
    const header = end === null ? null : decodeHeader(end.bytes)
    return header?.isSeal === true
      ? sealed(header, last, tail, sent)
      : { kind: 'ends', lost: true, last, stored: [] }
  }
  // What is missing in front of a position was trimmed, because it was committed.
  const before = (position: number): StoredPart[] =>
    sent.flatMap((frame, index) => partsBefore(frame, index, position))
  // Starts at the tail: it may have been replaced, or trimmed by another drain.
  for (let from = Math.max(tail.position, 1); ; from++) {
    const message = await log.next(stream, from)
    if (message === null) return { kind: 'fits', lost: false, stored: before(Math.max(last + 1, from)) }
    const header = decodeHeader(message.bytes)
    if (header?.isSeal === true) return sealed(header, message.position, tail, sent)
    if (!isOurs(header, message.position, tail, sent)) return { kind: 'foreign', position: message.position }
    from = message.position
  }
}

/**
 * Who sealed the stream has seen the frames up to the one that the seal names, and stores them, even if the log has
 * lost them since.
 */
function sealed ({ sequence }: MessageHeader, position: number, tail: Mark, sent: readonly SentFrame[]): Comparison {
  const seen = sent.filter((frame) => frame.sequence <= sequence)
  const isShorter = position <= tail.position || seen.some(({ first, parts }) => position < first + parts)
  const isReplaced = sent.some(({ first, stored }) => stored[position - first] === true)
  return {
    kind: 'sealed',
    lost: sequence < tail.sequence || isShorter || isReplaced,
    stored: seen.flatMap((frame, index) => partsBefore(frame, index, Infinity))
  }
}

function isOurs (header: MessageHeader | null, position: number, tail: Mark, sent: readonly SentFrame[]): boolean {
  if (header === null) return false
  if (position === tail.position) return header.sequence === tail.sequence && header.crc === tail.crc
  return sent.some(({ sequence, crc, first, parts }) =>
    sequence === header.sequence && crc === header.crc && first + header.part === position && header.parts === parts)
}

/** Those of a frame's messages that are before a position. */
function partsBefore ({ first, parts }: SentFrame, frame: number, position: number): StoredPart[] {
  return Array.from({ length: parts }, (_, part) => ({ frame, part })).filter(({ part }) => first + part < position)
}
