import t from 'tap'
import * as fc from 'fast-check'
import { encodeFrameHeader, FRAME_HEADER_BYTES } from '../../../lib/spool/format/record.js'
import {
  decodeHeader, encodePart, encodeSeal, MESSAGE_HEADER_BYTES, partsOf, type OutgoingFrame
} from '../../../lib/replicated/message.js'

function frameOf (payload: Buffer, sequence: number, parts: number): OutgoingFrame {
  const fields = { rowFormat: 2, rows: 3, epoch: 1, sequence, appendedAtMs: 5, previousCrc: 6 }
  const { header, crc } = encodeFrameHeader(fields, payload)
  return { header, payload, crc, parts, sequence, rows: 3, rowsBefore: 40, committed: 2 }
}

t.test('the parts of a frame, put together, are the frame', (t) => {
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 600 }), fc.integer({ min: 60, max: 400 }), fc.nat(Number.MAX_SAFE_INTEGER - 1),
    (bytes, messageBytesMax, sequence) => {
      const payload = Buffer.from(bytes)
      const parts = partsOf(payload.length, messageBytesMax)
      const frame = frameOf(payload, sequence, parts)
      const messages = Array.from({ length: parts }, (_, part) => encodePart(frame, part, messageBytesMax))
      const bodies = messages.map((message) => message.subarray(MESSAGE_HEADER_BYTES))
      const whole = Buffer.concat([frame.header, payload])
      return Buffer.concat(bodies).equals(whole) && whole.length === FRAME_HEADER_BYTES + payload.length &&
        messages.every((message, part) => {
          const header = decodeHeader(message)
          return message.length <= messageBytesMax && header?.part === part && header.sequence === sequence &&
            header.crc === frame.crc && header.rowsBefore === 40 && header.committed === 2 && !header.isSeal
        })
    }))
  t.end()
})

t.test('a seal names the last frame before it', (t) => {
  t.match(decodeHeader(encodeSeal(17, 230)), { isSeal: true, sequence: 17, rowsBefore: 230 })
  t.end()
})

t.test('any changed byte of a header, and any other message, is noticed', (t) => {
  const message = encodePart(frameOf(Buffer.from('abc'), 9, 1), 0, 400)
  for (let index = 0; index < MESSAGE_HEADER_BYTES; index++) {
    const changed = Buffer.from(message)
    changed[index] = (changed[index] ?? 0) ^ 0x10
    t.equal(decodeHeader(changed), null, `byte ${index}`)
  }
  t.equal(decodeHeader(message.subarray(0, MESSAGE_HEADER_BYTES - 1)), null)
  t.equal(decodeHeader(Buffer.from('hello')), null)
  t.end()
})
