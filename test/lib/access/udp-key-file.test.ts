/** The file of UDP keys: its contents, all kinds of faults, and when an open UDP port is worth a warning. */
import t from 'tap'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeOpenUdp, parseUdpKeys, readUdpKeys } from '../../../lib/access/udp-key-file.js'

const SECRET = 'never-shown-'.repeat(3)
const ENTRY = { id: 'ground-7', secret: SECRET }

function faultsOf (keys: unknown, ports: readonly number[] = [8081]): readonly string[] {
  return parseUdpKeys(JSON.stringify({ keys }), ports).faults
}

t.test('valid files, as YAML and as JSON', (t) => {
  const yaml = `# of the ground segment
keys:
  - id: ground-7
    secret: ${SECRET}
    senders: [ground-7*, "7"]
    satellites:
      - SAT-00*
  - { id: k, secret: "${SECRET}2" }
`
  const keys = [
    { ...ENTRY, senders: ['ground-7*', '7'], satellites: ['SAT-00*'], port: null },
    { id: 'k', secret: `${SECRET}2`, senders: null, satellites: null, port: null }
  ]
  t.strictSame(parseUdpKeys(yaml, [8081]), { keys, faults: [] })
  t.strictSame(parseUdpKeys('{"keys":[]}', [8081]), { keys: [], faults: [] })
  t.strictSame(faultsOf(Array.from({ length: 1_000 }, (_, at) => ({ id: `k${at}`, secret: `${SECRET}${at}` }))), [])
  t.strictSame(faultsOf([{ ...ENTRY, port: 8082 }], [8081, 8082]), [])
  t.strictSame(faultsOf([ENTRY], []), [], 'UDP is off')
  t.end()
})

t.test('a key that is a mapping is a fault, of which the parser prints nothing', (t) => {
  const warnings = t.capture(process, 'emitWarning')
  t.match(parseUdpKeys(`keys:\n- ? { ${SECRET}: 1 }\n  : 2`, []).faults, [/^keys\[0\] has an unknown field/])
  t.strictSame(warnings(), [])
  t.end()
})

t.test('each fault is reported with its place, and never with a secret', (t) => {
  const cases: Array<[faults: readonly string[], expected: RegExp]> = [
    [parseUdpKeys('', []).faults, /^must be a mapping with keys$/],
    [parseUdpKeys('- a', []).faults, /^must be a mapping with keys$/],
    [parseUdpKeys(`keys: [{id: a, secret: ${SECRET}`, []).faults, /^line 1, column \d+ is not valid YAML/],
    [parseUdpKeys(`keys:\n- id: a\n  secret: *${SECRET}`, []).faults, /^line 3, column \d+ is not valid YAML/],
    [parseUdpKeys(`keys:\n- id: a\n  ${SECRET}: 1\n  ${SECRET}: 2`, []).faults, /^line 4, column \d+ is not valid/],
    [parseUdpKeys('['.repeat(100_000), []).faults, /^line 1, column 1 is not valid YAML/],
    [parseUdpKeys('{}', []).faults, /^keys must be a list$/],
    [parseUdpKeys(`${SECRET}: 1`, []).faults, /^has an unknown field; use keys\nkeys must be a list$/],
    [faultsOf([7]), /^keys\[0\] must be a mapping with id, secret, senders, satellites, port$/],
    [faultsOf([{ ...ENTRY, satelites: ['A'] }]), /^keys\[0\] has an unknown field; did you mean satellites\?$/],
    [faultsOf(Array.from({ length: 1_001 }, () => ENTRY)), /^keys has 1001 entries; the maximum is 1000$/],
    [faultsOf([{ secret: SECRET }]), /^keys\[0\]\.id must consist of 1 to 32 letters/],
    ...['', 'a b', 'x'.repeat(33), 'ä', 'a\n', 'a:b'].map((id): [readonly string[], RegExp] => (
      [faultsOf([{ ...ENTRY, id }]), /^keys\[0\]\.id must consist of/])),
    [faultsOf([{ ...ENTRY, id: 7 }]), /^keys\[0\]\.id must consist of .*: put it in quotes$/],
    ...[undefined, null, '', 'x'.repeat(31), 'x'.repeat(129), `${SECRET} `, `${SECRET}\n`, `${SECRET}ü`].map(
      (secret): [readonly string[], RegExp] => (
        [faultsOf([{ ...ENTRY, secret }]), /^keys\[0\]\.secret must be text of 32 to 128 visible ASCII characters$/])),
    [faultsOf([ENTRY, { ...ENTRY, secret: `${SECRET}2` }]), /^keys\[1\]\.id is that of another key$/],
    [faultsOf([ENTRY, { ...ENTRY, id: 'other' }]), /^keys\[1\]\.secret is that of another key$/],
    ...[[], 'A', null, {}].map((senders): [readonly string[], RegExp] => (
      [faultsOf([{ ...ENTRY, senders }]), /^keys\[0\]\.senders must be a non-empty list/])),
    ...[[''], [7], ['x'.repeat(65)], Array.from({ length: 17 }, (_, at) => `${at}*`)].map(
      (satellites): [readonly string[], RegExp] => (
        [faultsOf([{ ...ENTRY, satellites }]), /^keys\[0\]\.satellites must have at most 16 patterns/])),
    [faultsOf([ENTRY], [8081, 8082]), /^keys\[0\] needs a port: UDP_PORT has several$/],
    ...['8081', 8083, 0].map((port): [readonly string[], RegExp] => (
      [faultsOf([{ ...ENTRY, port }], [8081, 0]), /^keys\[0\]\.port must be one of UDP_PORT$/]))
  ]
  for (const [faults, expected] of cases) {
    t.match(faults.join('\n'), expected)
    t.notMatch(faults.join('\n'), 'never-shown')
  }
  t.equal(faultsOf(Array.from({ length: 1_000 }, () => 7)).length, 100)
  t.end()
})

t.test('reading a file', async (t) => {
  const directory = t.testdir()
  const udpKeysFile = join(directory, 'keys.yaml')
  const read = async (): ReturnType<typeof readUdpKeys> => await readUdpKeys({ udpKeysFile, udpPorts: [8081] })
  t.strictSame(await readUdpKeys({ udpKeysFile: null, udpPorts: [] }), { ok: true, keys: null, warnings: [] })
  t.match(await read(), { ok: false, faults: [/^UDP_KEYS_FILE .*keys.yaml: cannot be read: ENOENT/] })
  writeFileSync(udpKeysFile, `keys: [{id: a, secret: ${SECRET}}]`, { mode: 0o600 })
  t.match(await read(), { ok: true, keys: [{ id: 'a' }], warnings: [] })
  chmodSync(udpKeysFile, 0o640)
  t.match(await read(), { ok: true, warnings: [/^other users of this machine may have access to .*: chmod 600 it$/] })
  writeFileSync(udpKeysFile, 'keys: 7')
  t.match(await read(), { ok: false, faults: [/keys.yaml: keys must be a list$/] })
  writeFileSync(udpKeysFile, '#'.repeat(1024 * 1024 + 1))
  t.match(await read(), { ok: false, faults: [/larger than 1048576 bytes$/] })
  mkdirSync(join(directory, 'folder'))
  t.match(await readUdpKeys({ udpKeysFile: join(directory, 'folder'), udpPorts: [] }),
    { ok: false, faults: [/is not a regular/] })
})

t.test('UDP is open although HTTP is not', (t) => {
  const config = { host: '0.0.0.0', udpPorts: [8081], udpOpen: 'off' } as const
  t.match(describeOpenUdp(config, true, false), /set UDP_KEYS_FILE, or UDP_PORT=off$/)
  t.match(describeOpenUdp({ ...config, udpOpen: 'on' }, true, true), /set UDP_OPEN=off once all senders have one$/)
  t.equal(describeOpenUdp(config, true, true), null)
  t.equal(describeOpenUdp(config, false, false), null)
  t.equal(describeOpenUdp({ ...config, udpPorts: [] }, true, false), null)
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost']) {
    t.equal(describeOpenUdp({ ...config, host }, true, false), null, host)
  }
  for (const host of ['127.example.com', '::', '10.0.0.1']) {
    t.ok(describeOpenUdp({ ...config, host }, true, false), host)
  }
  t.end()
})
