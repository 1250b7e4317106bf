/** What a stream has is read as far as it is intact. */
import t from 'tap'
import { readFrames } from '../../../lib/replicated/frame-reader.js'
import { encodePart, encodeSeal, MESSAGE_HEADER_BYTES } from '../../../lib/replicated/message.js'
import { START } from '../../../lib/replicated/publish/comparison.js'
import { markOf, numberFrame } from '../../../lib/replicated/publish/pending.js'
import { epochIdOf } from '../../../lib/replicated/replicated-log.js'
import { FRAME_HEADER_BYTES } from '../../../lib/spool/format/record.js'
import { FakeLog, FakeServers, pump } from './fake-log.js'

const LANE = 'ab'.repeat(16)
const STREAM = { lane: LANE, epoch: 1, epochId: epochIdOf({ lane: LANE, epoch: 1 }) }
/** Each with frames that follow it. */
const FRAMES = 5

/** Frames of one message each. @param epoch that they claim */
function messagesOf (epoch = 1): Buffer[] {
  let before = START
  return Array.from({ length: FRAMES }, (_, index) => {
    const batch = { payload: Buffer.alloc(20, index), rows: 2, spooled: () => {}, committed: () => {} }
    const frame = numberFrame({ batch, queuedMs: 0, wasAnswered: false }, before,
      { epoch, rowFormat: 1, committed: 0, messageBytesMax: 400, appendedAtMs: 1 })
    before = markOf(frame)
    return encodePart(frame, 0, 400)
  })
}

async function sequencesOf (messages: readonly Buffer[]): Promise<unknown> {
  const log = new FakeLog(new FakeServers(), () => 0)
  await pump(log, log.create({ ...STREAM, instance: '', slot: 0, after: null }))
  for (const [index, message] of messages.entries()) await pump(log, log.append(STREAM, index + 1, message))
  const { frames, reach, next, atEnd } = await pump(log, readFrames(log, STREAM, 1, 1_000_000))
  return { sequences: frames.map(({ sequence }) => sequence), reach: reach.sequence, next, atEnd }
}

function damaged (change: (message: Buffer) => Buffer): Buffer[] {
  return messagesOf().map((message, index) => index === 1 ? change(message) : message)
}

t.test('a damaged frame is left out, those behind it are read', async (t) => {
  const flip = (at: number) => (message: Buffer): Buffer => {
    message[at] = (message[at] ?? 0) ^ 1
    return message
  }
  const cases: ReadonlyArray<readonly [what: string, change: (message: Buffer) => Buffer]> = [
    ['header of the message', flip(12)],
    ['magic of the frame', flip(MESSAGE_HEADER_BYTES)],
    ['length of the payload', flip(MESSAGE_HEADER_BYTES + 11)],
    ['epoch', flip(MESSAGE_HEADER_BYTES + 23)],
    ['sequence', flip(MESSAGE_HEADER_BYTES + 31)],
    ['payload', flip(MESSAGE_HEADER_BYTES + FRAME_HEADER_BYTES)],
    ['cut within the header of the frame', (message) => message.subarray(0, MESSAGE_HEADER_BYTES + 10)],
    ['cut within the payload', (message) => message.subarray(0, -1)],
    ['nothing left', () => Buffer.alloc(0)]
  ]
  for (const [what, change] of cases) {
    t.match(await sequencesOf(damaged(change)), { sequences: [1, 3, 4, 5], reach: 5, next: 6, atEnd: true }, what)
  }
})

t.test('frames of another epoch are none, and nothing behind a seal counts', async (t) => {
  t.match(await sequencesOf(messagesOf(2)), { sequences: [], next: 6 })
  const [first, ...others] = messagesOf()
  t.match(await sequencesOf([first!, encodeSeal(1, 2), ...others]), { sequences: [1], next: 2, atEnd: true })
})
