/** Sources of the simulator's token and key. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readSecret, TOKEN } from '../../../../lib/cli/simulator/sim-secret.js'
import { UDP_KEY } from '../../../../lib/cli/simulator/sim-udp-key.js'

t.test('option, file, variable; the variable never conflicts with the others', t => {
  const file = join(t.testdir(), 'token')
  writeFileSync(file, ' a-token-of-a-file \r\nsecond line\n')
  t.strictSame(readSecret(TOKEN, undefined, undefined, undefined), { text: null })
  t.strictSame(readSecret(TOKEN, undefined, undefined, ''), { text: null })
  t.strictSame(readSecret(TOKEN, undefined, undefined, 'of-the-environment'), { text: 'of-the-environment' })
  t.strictSame(readSecret(TOKEN, undefined, file, 'of-the-environment'), { text: 'a-token-of-a-file' })
  t.strictSame(readSecret(TOKEN, 'given', undefined, 'of-the-environment'), { text: 'given' })
  t.end()
})

t.test('problems name the source, never the token', t => {
  const empty = join(t.testdir({ empty: '\n' }), 'empty')
  t.match(readSecret(TOKEN, 'a', 'b', undefined), { problem: '--token and --token-file' })
  t.match(readSecret(TOKEN, undefined, join(empty, 'none'), undefined), { problem: /^--token-file: ENOTDIR/ })
  t.match(readSecret(TOKEN, undefined, empty, undefined), { problem: '--token-file: is empty' })
  for (const [token, variable] of [['geheim ü', undefined], [undefined, 'geheim ü']] as const) {
    const read = readSecret(TOKEN, token, undefined, variable)
    t.match(read, { problem: /visible ASCII/ })
    t.notMatch(read, { problem: /geheim/ })
  }
  t.end()
})

t.test('a key for UDP has the same sources', t => {
  const key = `bench:${'s'.repeat(32)}`
  const file = join(t.testdir({ key: `${key}\n` }), 'key')
  t.strictSame(readSecret(UDP_KEY, undefined, undefined, undefined), { text: null })
  t.strictSame(readSecret(UDP_KEY, undefined, file, 'x'), { text: key })
  t.strictSame(readSecret(UDP_KEY, undefined, undefined, key), { text: key })
  t.match(readSecret(UDP_KEY, key, file, undefined), { problem: '--udp-key and --udp-key-file are mutually exclusive' })
  for (const [given, variable] of [['geheim', undefined], [undefined, 'geheim']] as const) {
    const read = readSecret(UDP_KEY, given, undefined, variable)
    t.match(read, { problem: /^(--udp-key|UDP_KEY): must be ID:SECRET, with a secret of 32 or more/ })
    t.notMatch(read, { problem: /geheim/ })
  }
  t.end()
})
