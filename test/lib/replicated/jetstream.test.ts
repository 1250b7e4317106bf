import t from 'tap'
import { checkPayload, LOG_MESSAGE_BYTES } from '../../../lib/replicated/jetstream.js'

t.test('a server whose messages are too small for frames is refused', (t) => {
  t.throws(() => { checkPayload(64 * 1024 - 1) }, /max_payload 65535; OrbitStream needs at least 65536/)
  for (const bytes of [64 * 1024, 1024 * 1024, 64 * 1024 * 1024]) checkPayload(bytes)
  t.ok(LOG_MESSAGE_BYTES.min < LOG_MESSAGE_BYTES.max)
  t.end()
})
