/** How many rows of a lane wait to be stored, from the headers of a few messages: for people, not for a drain. */
import type { LedgerPosition } from '../journal/journal.js'
import type { ReplicatedLog, StreamName } from './replicated-log.js'
import { decodeHeader, type MessageHeader } from './message.js'

type Reading = Pick<ReplicatedLog, 'last' | 'next'>

/**
 * Rows behind the ledger's position. Too many by what is void behind a seal, for as long as the lane is not drained.
 * @param streams of one lane
 * @param ledger null: nothing is stored
 * @throws {LogError} the log does not answer
 */
export async function pendingRows (
  log: Reading, streams: readonly StreamName[], ledger: LedgerPosition | null
): Promise<number> {
  let rows = 0
  for (const stream of streams) {
    const stored = ledger?.epoch ?? 0
    const sequence = stream.epoch === stored ? ledger?.sequence ?? 0 : 0
    if (stream.epoch >= stored) rows += await pendingOf(log, stream, sequence)
  }
  return rows
}

async function pendingOf (log: Reading, stream: StreamName, sequence: number): Promise<number> {
  const last = await log.last(stream)
  const end = await headerAt(log, stream, last)
  // A seal has the sequence of the last frame before it, too.
  if (end === null || end.header.sequence <= sequence) return 0
  // Sequences rise with positions: find the first message behind the ledger.
  let [low, high] = [1, last]
  let first = end
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const found = await headerAt(log, stream, middle)
    if (found === null || found.header.sequence > sequence) {
      first = found ?? first
      high = middle
    } else {
      low = found.position + 1
    }
  }
  const { isSeal, rowsBefore, rows } = end.header
  return rowsBefore + (isSeal ? 0 : rows) - first.header.rowsBefore
}

/** Of the first message at or after a position; null: there is none, or it is damaged. */
async function headerAt (
  log: Reading, stream: StreamName, from: number
): Promise<{ readonly position: number, readonly header: MessageHeader } | null> {
  const message = await log.next(stream, from)
  const header = message === null ? null : decodeHeader(message.bytes)
  return message === null || header === null ? null : { position: message.position, header }
}
