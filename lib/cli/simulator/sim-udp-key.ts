/** The key to authenticate packets with: from --udp-key, the first line of --udp-key-file, or the UDP_KEY variable. */
import { UDP_KEY_VARIABLE } from '../../config/settings.js'
import { KEY_RULE, parsePacketKey } from '../../../protocol/packet/packet-key.js'
import type { Option } from '../options.js'
import type { SecretSource } from './sim-secret.js'

export const UDP_KEY_OPTIONS = [
  {
    name: 'udp-key',
    type: 'string',
    placeholder: 'id:secret',
    help: 'Key for UDP packets, if the server requires one. Visible to other users of this machine: prefer ' +
      '--udp-key-file.'
  },
  {
    name: 'udp-key-file',
    type: 'string',
    placeholder: 'file',
    help: 'File with the key, as ID:SECRET, in its first line.',
    note: `default: the ${UDP_KEY_VARIABLE} variable`
  }
] as const satisfies readonly Option[]

export const UDP_KEY: SecretSource = {
  option: 'udp-key',
  variable: UDP_KEY_VARIABLE,
  problemOf: (text) => parsePacketKey(text) === null ? KEY_RULE : null
}
