/** `token create`, and how `start` reports an invalid token file. */
import t from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTokenFile } from '../../../lib/access/token-file.js'
import { sha256Of } from '../../../lib/access/token.js'
import { runIngest } from '../../support/programs/command.js'

t.test('a token and its entry, which the file accepts', async t => {
  const words = [
    'token', 'create', 'mission-7', '--role', 'ingest', '--role=read', '--satellites', 'SAT-00*', '--satellites', 'ISS',
    '--expires', '90d', '--api-tokens-file', '/etc/tokens.json'
  ]
  const [first, second] = await Promise.all([
    runIngest(words),
    runIngest(['token', 'create', 'bench', '--role', 'admin'])
  ])
  t.match(first, { code: 0, err: '' })
  t.match(first.out, '/etc/tokens.json')
  t.match(second.out, '"tokens" list in API_TOKENS_FILE')
  const [text = '', line = ''] = first.out.split('\n').filter(each => each.startsWith('  ')).map(each => each.trim())
  t.match(text, /^orbitstream_[\w-]{43}$/)
  t.equal(first.out.split(text).length, 2, 'once')
  t.notMatch(second.out, text)
  const parsed = parseTokenFile(`{"tokens":[${line}]}`)
  t.match(parsed, {
    ok: true,
    tokens: [{ name: 'mission-7', sha256: sha256Of(text), roles: ['ingest', 'read'], satellites: ['SAT-00*', 'ISS'] }]
  })
  const expiresMs = parsed.ok ? parsed.tokens?.[0]?.expiresMs ?? 0 : 0
  t.ok(Math.abs(expiresMs - Date.now() - 90 * 86_400_000) < 120_000, line)
})

t.test('invalid arguments', async t => {
  const cases: Array<[string, RegExp]> = [
    ['token create x', /^error: roles must be a non-empty list of roles: ingest, read, operate, admin\n$/],
    [
      'token create a/b --role reed',
      /^error: name must consist of .*\nerror: roles\[0\] must be one of .*; did you mean read\?\n$/
    ],
    [
      'token create x --role read --satellites= --expires soon',
      /^error: --satellites needs a value: <pattern>\nerror: --expires: /
    ]
  ]
  await Promise.all(
    cases.map(async ([line, err]) => t.match(await runIngest(line.split(' ')), { code: 2, out: '', err }, line))
  )
})

t.test('start fails and names every fault of the file', async t => {
  const directory = t.testdir()
  const file = join(directory, 'tokens.json')
  writeFileSync(file, JSON.stringify({ tokens: [{ name: 'x', sha256: '1', role: ['read'] }] }))
  const outcome = await runIngest(['start', '--data-dir', join(directory, 'data'), '--api-tokens-file', file])
  t.match(outcome, { code: 2, out: '' })
  t.strictSame(outcome.err.split('\n').map(line => line.replace(`error: API_TOKENS_FILE ${file}: `, '').slice(0, 24)), [
    'tokens[0].role is not a ', 'tokens[0].sha256 must be', 'tokens[0].roles must be ', ''
  ])
})
