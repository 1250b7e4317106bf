/** `udp-key create ID`: prints a new key for a UDP sender, and its entry for UDP_KEYS_FILE. Both contain the secret. */
import { randomBytes } from 'node:crypto'
import { parseUdpKeys } from '../../access/udp-key-file.js'
import { defineCommand } from '../command.js'

/** As hard to guess as a code of HMAC-SHA256. */
const SECRET_BYTES = 32

export const udpKeyCreate = defineCommand({
  name: 'udp-key create',
  summary: 'Create a key for a UDP sender: print it, with its entry for UDP_KEYS_FILE.',
  options: [
    {
      name: 'sender',
      type: 'texts',
      placeholder: 'pattern',
      help: 'Name or pattern (ground-7*) that senders with the key may use. May be repeated.',
      note: 'default: any'
    },
    {
      name: 'satellites',
      type: 'texts',
      placeholder: 'pattern',
      help: 'Satellite id or pattern (SAT-00*) that they may send points for. May be repeated.',
      note: 'default: all'
    },
    {
      name: 'port',
      type: 'integer',
      min: 1,
      max: 65_535,
      help: 'The UDP port where it is valid, if UDP_PORT has several.'
    }
  ],
  settings: ['udpKeysFile', 'udpPorts'],
  positionals: { usage: 'ID', min: 1, max: 1 },
  async run ({ config, values, positionals, print, complain }) {
    const [id = ''] = positionals
    const secret = randomBytes(SECRET_BYTES).toString('base64url')
    const entry = JSON.stringify({
      id,
      secret,
      ...values.sender.length === 0 ? {} : { senders: values.sender },
      ...values.satellites.length === 0 ? {} : { satellites: values.satellites },
      ...values.port === undefined ? {} : { port: values.port }
    })
    // Validated by the reader of the file, so that what is printed is accepted.
    const { faults } = parseUdpKeys(`{"keys":[${entry}]}`, config.udpPorts)
    for (const fault of faults) complain(`error: ${fault.replace(/^keys\[0\]\.?/, '').trim()}`)
    if (faults.length > 0) return 2
    print(await Promise.resolve(textOf(`${id}:${secret}`, entry, config.udpKeysFile)))
    return 0
  }
})

function textOf (key: string, entry: string, file: string | null): string {
  return `Key for the sender (orbitstream-sim --udp-key-file, UDP_KEY, the \`key\` of a UdpSender):

  ${key}

Entry for the list "keys" in ${file ?? 'UDP_KEYS_FILE'}, which only the server may read:

  - ${entry}

A new file begins with the line "keys:". Have a running server load it with "orbitstream reload".`
}
