/** The count of pending rows against the sum over all frames behind the ledger, for any stream, trim and position. */
import t from 'tap'
import fc from 'fast-check'
import { pendingRows } from '../../../lib/replicated/lane-backlog.js'
import type { ReplicatedLog } from '../../../lib/replicated/replicated-log.js'
import { encodePart, encodeSeal, partsOf } from '../../../lib/replicated/message.js'
import { FRAME_HEADER_BYTES } from '../../../lib/spool/format/record.js'

const LANE = 'ab'.repeat(16)
const MESSAGE_BYTES = 200

interface Frame { readonly rows: number, readonly bytes: number }

/** Messages of an epoch, by position - 1. */
function messagesOf (frames: readonly Frame[], isSealed: boolean): Buffer[] {
  let rowsBefore = 0
  const messages = frames.flatMap(({ rows, bytes }, index) => {
    const parts = partsOf(bytes, MESSAGE_BYTES)
    const [header, payload] = [Buffer.alloc(FRAME_HEADER_BYTES), Buffer.alloc(bytes)]
    const frame = { sequence: index + 1, rows, rowsBefore, committed: 0, crc: 0, parts, header, payload }
    rowsBefore += rows
    return Array.from({ length: parts }, (_, part) => encodePart(frame, part, MESSAGE_BYTES))
  })
  return isSealed ? [...messages, encodeSeal(frames.length, rowsBefore)] : messages
}

function logOf (epochs: readonly Buffer[][], trimmed: number): Pick<ReplicatedLog, 'last' | 'next'> {
  return {
    last: async ({ epoch }) => await Promise.resolve(epochs[epoch - 1]?.length ?? 0),
    next: async ({ epoch }, from) => {
      const messages = epochs[epoch - 1] ?? []
      const position = Math.max(from, epoch === 1 ? trimmed + 1 : 1)
      const bytes = messages[position - 1]
      return await Promise.resolve(bytes === undefined ? null : { position, bytes })
    }
  }
}

const rowsOf = (frames: readonly Frame[]): number => frames.reduce((sum, { rows }) => sum + rows, 0)

t.test('rows behind the ledger are counted', async (t) => {
  const frame = fc.record({ rows: fc.integer({ min: 1, max: 500 }), bytes: fc.integer({ min: 1, max: 900 }) })
  const frames = fc.array(frame, { maxLength: 30 })
  await fc.assert(fc.asyncProperty(frames, frames, fc.nat(30), fc.nat(1_000), async (first, second, stored, share) => {
    const sequence = Math.min(stored, first.length)
    const epochs = [messagesOf(first, true), messagesOf(second, false)]
    // Only messages of frames that the ledger covers are trimmed, and the last message never is.
    const mayGo = messagesOf(first.slice(0, sequence), false).length
    const log = logOf(epochs, Math.floor(mayGo * share / 1_000))
    const streams = [{ lane: LANE, epoch: 1 }, { lane: LANE, epoch: 2 }]
    const left = rowsOf(first.slice(sequence)) + rowsOf(second)
    t.equal(await pendingRows(log, streams, sequence === 0 ? null : { epoch: 1, sequence, epochId: null }), left)
    t.equal(await pendingRows(log, streams, { epoch: 2, sequence: second.length, epochId: null }), 0)
  }), { numRuns: 200 })
})
