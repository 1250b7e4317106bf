/** `udp-key create`, and how `start` reports an invalid file of keys. */
import t from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseUdpKeys } from '../../../lib/access/udp-key-file.js'
import { parsePacketKey } from '../../../protocol/packet/packet-key.js'
import { runIngest } from '../../support/programs/command.js'

t.test('a key and its entry, which the file accepts', async (t) => {
  const { code, out, err } = await runIngest([
    'udp-key', 'create', 'ground-7', '--sender', 'ground-7*', '--sender=7', '--satellites', 'SAT-00*', '--port', '8082',
    '--udp-port', '8081,8082', '--udp-keys-file', '/etc/keys.yaml'
  ])
  t.match({ code, err }, { code: 0, err: '' })
  t.match(out, 'in /etc/keys.yaml')
  const [text = '', entry = ''] = out.split('\n').filter((line) => line.startsWith('  ')).map((line) => line.trim())
  const key = parsePacketKey(text)
  t.match(key, { id: 'ground-7', secret: /^[\w-]{43}$/ })
  t.strictSame(parseUdpKeys(`keys:\n  ${entry}\n`, [8081, 8082]), {
    keys: [{ ...key, senders: ['ground-7*', '7'], satellites: ['SAT-00*'], port: 8082 }], faults: []
  })
})

t.test('invalid arguments', async (t) => {
  const { code, out, err } = await runIngest(['udp-key', 'create', 'a/b', '--udp-port', '1,2'])
  t.match({ code, out }, { code: 2, out: '' })
  t.match(err, /^error: id must consist of 1 to 32 letters.*\nerror: needs a port: UDP_PORT has several\n$/)
})

t.test('start fails and names every fault of the file', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'keys.yaml')
  writeFileSync(file, 'keys:\n- { id: a, secret: short-secret, sender: [a] }\n')
  const { code, err } = await runIngest(['start', '--data-dir', join(directory, 'data'), '--udp-keys-file', file])
  t.equal(code, 2)
  t.strictSame(err.split('\n').map((line) => line.replace(`error: UDP_KEYS_FILE ${file}: `, '').slice(0, 30)), [
    'keys[0] has an unknown field; ', 'keys[0].secret must be text of', ''
  ])
  t.notMatch(err, 'short-secret')
})
