/** Sources of the simulator's token. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readToken } from '../../../../lib/cli/simulator/sim-token.js'

t.test('option, file, variable; the variable never conflicts with the others', t => {
  const file = join(t.testdir(), 'token')
  writeFileSync(file, ' a-token-of-a-file \r\nsecond line\n')
  t.strictSame(readToken(undefined, undefined, undefined), { token: null })
  t.strictSame(readToken(undefined, undefined, ''), { token: null })
  t.strictSame(readToken(undefined, undefined, 'of-the-environment'), { token: 'of-the-environment' })
  t.strictSame(readToken(undefined, file, 'of-the-environment'), { token: 'a-token-of-a-file' })
  t.strictSame(readToken('given', undefined, 'of-the-environment'), { token: 'given' })
  t.end()
})

t.test('problems name the source, never the token', t => {
  const empty = join(t.testdir({ empty: '\n' }), 'empty')
  t.match(readToken('a', 'b', undefined), { problem: '--token and --token-file' })
  t.match(readToken(undefined, join(empty, 'none'), undefined), { problem: /^--token-file: ENOTDIR/ })
  t.match(readToken(undefined, empty, undefined), { problem: '--token-file: is empty' })
  for (const [token, variable] of [['geheim ü', undefined], [undefined, 'geheim ü']] as const) {
    const read = readToken(token, undefined, variable)
    t.match(read, { problem: /visible ASCII/ })
    t.notMatch(read, { problem: /geheim/ })
  }
  t.end()
})
