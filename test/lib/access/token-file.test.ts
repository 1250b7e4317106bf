/** The token file: its contents, and all kinds of faults. */
import t from 'tap'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTokenFile, readTokens } from '../../../lib/access/token-file.js'
import { sha256Of, tokensFromSetting } from '../../../lib/access/token.js'

const SHA = sha256Of('one')
const OTHER = sha256Of('two')
const ENTRY = { name: 'bench', sha256: SHA, roles: ['ingest'] }

function faultsOf (value: unknown, others: readonly string[] = []): readonly string[] {
  const parsed = parseTokenFile(JSON.stringify(value), tokensFromSetting(others))
  return parsed.ok ? [] : parsed.faults
}

t.test('a valid file', t => {
  const roles = ['ingest', 'read', 'operate', 'admin']
  const full = { name: 'mission-7.a_b', sha256: OTHER, roles, satellites: ['SAT-00*', 'ISS'] }
  const bounds = { satellites_max: 3, points_per_second: 500 }
  const entries = [
    { ...ENTRY, sha256: SHA.toUpperCase() }, { ...full, ...bounds, expires: '2027-01-01T02:00:00+02:00' }
  ]
  const tokens = [
    { ...ENTRY, satellites: null, satellitesMax: null, rates: null, expiresMs: null },
    { ...full, satellitesMax: 3, rates: { requests: null, points: 500 }, expiresMs: Date.UTC(2027, 0, 1) }
  ]
  t.strictSame(parseTokenFile(JSON.stringify({ tokens: entries })), { ok: true, tokens })
  t.strictSame(parseTokenFile('{"tokens":[]}'), { ok: true, tokens: [] })
  const thousand = Array.from({ length: 1_000 }, (_, index) => (
    { ...ENTRY, name: `n${index}`, sha256: sha256Of(String(index)) }
  ))
  t.same(faultsOf({ tokens: thousand }), [])
  t.same(faultsOf({ tokens: [...thousand, ENTRY] }), ['tokens has 1001 entries; the maximum is 1000'])
  t.end()
})

t.test('each fault is reported with its position', t => {
  const entryCases = (changes: readonly object[], expected: RegExp): Array<[unknown, RegExp]> => (
    changes.map((each) => [{ tokens: [{ ...ENTRY, ...each }] }, expected])
  )
  const cases: Array<[unknown, RegExp]> = [
    [[], /^must be a mapping with tokens$/],
    [null, /^must be a mapping/],
    [{}, /^tokens must be a list$/],
    [{ tokens: {} }, /^tokens must be a list$/],
    [{ tokens: [], tokenz: 1 }, /^tokenz is not a known field; use tokens; did you mean tokens\?$/],
    [{ tokens: [7] }, /^tokens\[0\] must be a mapping with name, sha256, roles, satellites, .*, expires$/],
    ...entryCases(
      [{ expire: '2027-01-01T00:00:00Z' }],
      /^tokens\[0\]\.expire is not a known field; .*; did you mean expires\?$/
    ),
    [{ tokens: [ENTRY, { ...ENTRY, name: 'x' }] }, /^tokens\[1\]\.sha256 is the digest of another token$/],
    ...entryCases([{ name: undefined }], /^tokens\[0\]\.name must consist of 1 to 64 letters/),
    ...entryCases(
      ['', 'a b', 'x'.repeat(65), 'ä', 'a\n', 7].map((name) => ({ name })),
      /^tokens\[0\]\.name must consist of/
    ),
    [{ tokens: [ENTRY, { ...ENTRY, sha256: OTHER }] }, /^tokens\[1\]\.name "bench" is the name of another token$/],
    [
      { tokens: [ENTRY, { ...ENTRY, name: 'x', sha256: SHA.toUpperCase() }] },
      /^tokens\[1\]\.sha256 is the digest of another token$/
    ],
    ...entryCases(
      ['', SHA.slice(1), `${SHA}0`, `g${SHA.slice(1)}`, `${SHA}\n`, undefined].map((sha256) => ({ sha256 })),
      /^tokens\[0\]\.sha256 must be the SHA-256 of a token, 64 hexadecimal digits$/
    ),
    ...entryCases(
      [undefined, [], 'ingest', {}].map((roles) => ({ roles })),
      /^tokens\[0\]\.roles must be a non-empty list of roles: ingest, read, operate, admin$/
    ),
    ...entryCases(
      [{ roles: ['read', 'ingst'] }],
      /^tokens\[0\]\.roles\[1\] must be one of ingest, read, operate, admin; did you mean ingest\?$/
    ),
    // An object that cannot become text.
    ...entryCases(
      [7, null, { toString: 1 }].map((role) => ({ roles: [role] })),
      /^tokens\[0\]\.roles\[0\] must be one of ingest, read, operate, admin$/
    ),
    ...entryCases(
      [{ satellites: [] }, { satellites: null }],
      /^tokens\[0\]\.satellites must be a non-empty list of ids and patterns; omit it to allow all satellites$/
    ),
    ...entryCases([{ satellites: ['ok', ' no'] }], /^tokens\[0\]\.satellites has " no", which is neither/),
    ...entryCases(
      [0, -1, 1.5, 1e9, '5', null].map((rate) => ({ requests_per_second: rate })),
      /^tokens\[0\]\.requests_per_second must be a whole number from 1 to 100000000$/
    ),
    ...entryCases([{ satellites_max: 100_001 }], /^tokens\[0\]\.satellites_max must be .* from 1 to 100000$/),
    ...entryCases(
      ['2027-01-01', '2027-02-30T00:00:00Z', '2027-01-01T00:00:00', 1_800_000_000_000, null]
        .map((expires) => ({ expires })),
      /^tokens\[0\]\.expires must be a time such as 2027-01-01T00:00:00Z$/
    )
  ]
  for (const [value, expected] of cases) {
    const faults = faultsOf(value)
    t.equal(faults.length, 1, JSON.stringify(value))
    t.match(faults[0], expected)
  }
  t.match(parseTokenFile('{"tokens":'), { ok: false, faults: [/^is not valid YAML: .* \(line 1\)$/] })
  const twice = 'tokens:\n  - name: a\n    expires: 2027-01-01T00:00:00Z\n    expires: 2099-01-01T00:00:00Z\n'
  t.match(parseTokenFile(twice), { ok: false, faults: ['has the key expires twice (line 4)'] })
  t.match(parseTokenFile('tokens: '.padEnd(10_000, '[')), { ok: false, faults: [/nested too deeply/] })
  t.end()
})

t.test('reports all faults at once, up to a limit', t => {
  const tokens = Array.from({ length: 11 }, (_, index) => (
    { ...ENTRY, name: `t${index}`, sha256: SHA.replace(/^../, String(10 + index)), satellites_max: 100_000 }))
  t.same(faultsOf({ tokens }), ['tokens have a satellites_max of 1100000 together; the maximum is 1000000'])
  t.equal(faultsOf({ tokens: [{ nam: 1 }, { ...ENTRY, roles: ['x'], satellites: [''] }] }).length, 6)
  t.equal(faultsOf({ tokens: Array.from({ length: 999 }, () => ({})) }).length, 100)
  t.end()
})

t.test('tokens in API_TOKENS are valid in addition to those in the file', async t => {
  const directory = t.testdir()
  const file = join(directory, 'tokens.json')
  writeFileSync(file, JSON.stringify({ tokens: [ENTRY] }))
  t.strictSame(await readTokens([], null), { ok: true, tokens: null }, 'none is required')
  t.match(await readTokens(['a', 'b', 'a'], null), {
    ok: true,
    tokens: [{ name: 'token-1', sha256: sha256Of('a'), roles: ['admin'] }, { name: 'token-2' }]
  })
  t.match(await readTokens(['a'], file), { ok: true, tokens: [{ name: 'token-1' }, { name: 'bench' }] })
  t.strictSame(faultsOf({ tokens: [{ ...ENTRY, name: 'token-1' }] }, ['one']), [
    'tokens[0].name "token-1" is the name of another token',
    'tokens[0].sha256 is the digest of another token'
  ])
  writeFileSync(file, '{"tokens":[]}')
  t.strictSame(await readTokens([], file), { ok: true, tokens: [] }, 'a file without tokens admits nobody')
})

t.test('an unreadable file is a fault', async t => {
  const notRegular = { ok: false, faults: ['is not a regular file, or larger than 1048576 bytes'] }
  const directory = t.testdir()
  const file = join(directory, 'tokens.json')
  t.match(await readTokens([], file), { ok: false, faults: [/^cannot be read: ENOENT/] })
  mkdirSync(file)
  t.match(await readTokens([], file), notRegular)
  writeFileSync(join(directory, 'large'), ' '.repeat(1024 * 1024 + 1))
  t.match(await readTokens([], join(directory, 'large')), notRegular)
})

t.test('YAML', t => {
  const text = [
    '# Senders of mission 7.', 'tokens:', '  - name: bench', `    sha256: ${SHA}`, '    roles: [ingest]',
    '    satellites:', '      - "SAT-00*"', '    expires: 2027-01-01T00:00:00Z',
    `  - ${JSON.stringify({ ...ENTRY, name: 'as-printed', sha256: OTHER })}`
  ].join('\n')
  const common = { roles: ['ingest'], satellitesMax: null, rates: null }
  t.strictSame(parseTokenFile(text), {
    ok: true,
    tokens: [
      { name: 'bench', sha256: SHA, ...common, satellites: ['SAT-00*'], expiresMs: Date.UTC(2027, 0, 1) },
      { name: 'as-printed', sha256: OTHER, ...common, satellites: null, expiresMs: null }
    ]
  })
  t.match(parseTokenFile('tokens:\n  - satellites: [*]'), { ok: false, faults: [/\(line 2\)$/] })
  t.end()
})
