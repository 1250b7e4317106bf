/**
 * The file of UDP_KEYS_FILE, YAML or JSON:
 *
 *   keys:
 *     - id: ground-7
 *       secret: "<32 to 128 characters>"
 *       senders: ["ground-7*"]         # default: any name
 *       satellites: ["SAT-00*"]        # default: all
 *       port: 8081                     # needed if UDP_PORT has several
 *
 * The file is accepted as a whole or not at all, and all faults are listed: misspelt `satellites` would allow all of
 * them. Messages never contain text of the file but names of fields, because a secret may be anywhere in it.
 *
 * A key is valid at one port, because each port has a process of its own that knows which packets have arrived: at
 * another one, captured packets would be accepted again.
 */
import { isIPv4 } from 'node:net'
import { readBounded } from '../config/bounded-file.js'
import { parseYaml } from '../config/yaml-document.js'
import type { Config } from '../config/settings.js'
import { nearest } from '../config/setting-types.js'
import { SatellitePatterns } from '../limits/satellite-patterns.js'
import { isKeyId, isSecret, KEY_ID_RULE, SECRET_RULE } from '../../protocol/packet/packet-key.js'
import { ACCESS_FILE_BYTES_MAX, AccessFileReader, type Fields } from './access-file.js'
import { UDP_KEYS_MAX, type UdpKey } from './udp-key.js'

/** Permissions of others to read or write. */
const OTHERS_MODE = 0o066
/** Length of an unknown name that is compared with the known ones. */
const NAME_MAX = 64
const KEY_FIELDS = ['id', 'secret', 'senders', 'satellites', 'port'] as const

export type ReadUdpKeys =
  /** Null: UDP_KEYS_FILE is not set. An empty list lets nobody in. Warnings are sentences without a full stop. */
  | { readonly ok: true, readonly keys: readonly UdpKey[] | null, readonly warnings: readonly string[] }
  /** Each begins with the setting and the file. Sentences without a full stop. */
  | { readonly ok: false, readonly faults: readonly string[] }

type Settings = Pick<Config, 'udpKeysFile' | 'udpPorts'>

export async function readUdpKeys ({ udpKeysFile: file, udpPorts }: Settings): Promise<ReadUdpKeys> {
  if (file === null) return { ok: true, keys: null, warnings: [] }
  const name = `UDP_KEYS_FILE ${file}`
  const { text, mode, problem } = await readBounded(file, ACCESS_FILE_BYTES_MAX)
  if (problem !== null) return { ok: false, faults: [`${name}: ${problem}`] }
  const { keys, faults } = parseUdpKeys(text, udpPorts)
  if (faults.length > 0) return { ok: false, faults: faults.map((fault) => `${name}: ${fault}`) }
  const isOpen = (mode & OTHERS_MODE) !== 0
  const warnings = isOpen ? [`other users of this machine may have access to ${name}: chmod 600 it`] : []
  return { ok: true, keys, warnings }
}

/** Whether tokens keep people out of HTTP but not of UDP: a sentence without a full stop; null: not so. */
export function describeOpenUdp (
  { host, udpPorts, udpOpen }: Pick<Config, 'host' | 'udpPorts' | 'udpOpen'>, hasTokens: boolean, hasKeys: boolean
): string | null {
  const isLoopback = host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
  if (!hasTokens || udpPorts.length === 0 || isLoopback || (hasKeys && udpOpen === 'off')) return null
  return hasKeys
    ? 'HTTP needs a token, but UDP accepts packets without a key: set UDP_OPEN=off once all senders have one'
    : 'HTTP needs a token, but UDP accepts packets from anyone: set UDP_KEYS_FILE, or UDP_PORT=off'
}

export interface ParsedUdpKeys {
  readonly keys: readonly UdpKey[]
  /** Empty if the file is valid. Sentences without a full stop. */
  readonly faults: readonly string[]
}

/** @param ports of UDP_PORT: with several, each key must name one of them */
export function parseUdpKeys (text: string, ports: readonly number[]): ParsedUdpKeys {
  const parsed = parseYaml(text)
  if (!parsed.ok) {
    const { line = 1, column = 1 } = parsed.faults[0] ?? {}
    const fault = `line ${line}, column ${column} is not valid YAML, repeats a key, or has an alias`
    return { keys: [], faults: [fault] }
  }
  const reader = new UdpKeyReader(ports)
  const keys = reader.read(parsed.document.value)
  return { keys, faults: reader.faults }
}

class UdpKeyReader extends AccessFileReader {
  private readonly ids = new Set<string>()
  private readonly secrets = new Set<string>()

  constructor (private readonly ports: readonly number[]) {
    super()
  }

  read (value: unknown): UdpKey[] {
    const entries = this.entries(value, 'keys', UDP_KEYS_MAX)
    return entries.flatMap((entry, index) => this.readKey(entry, `keys[${index}]`) ?? [])
  }

  private readKey (value: unknown, path: string): UdpKey | null {
    const fields = this.fields(value, path, KEY_FIELDS)
    if (fields === null) return null
    return {
      id: this.readText(fields['id'], `${path}.id`, isKeyId, KEY_ID_RULE, this.ids),
      secret: this.readText(fields['secret'], `${path}.secret`, isSecret, SECRET_RULE, this.secrets),
      senders: this.readPatterns(fields, 'senders', path),
      satellites: this.readPatterns(fields, 'satellites', path),
      port: this.readPort(fields, path)
    }
  }

  /** Text that no two keys share: a holder could otherwise send as another one. */
  private readText (
    value: unknown, path: string, is: (text: string) => boolean, rule: string, others: Set<string>
  ): string {
    if (typeof value !== 'string' || !is(value)) {
      return this.refuse('', path, typeof value === 'number' ? `${rule}: put it in quotes` : rule)
    }
    if (others.has(value)) this.fault(path, 'is that of another key')
    others.add(value)
    return value
  }

  private readPatterns (fields: Fields, name: string, path: string): string[] | null {
    if (!(name in fields)) return null
    const value = fields[name]
    if (!Array.isArray(value) || value.length === 0) {
      return this.refuse([], `${path}.${name}`, 'must be a non-empty list of names and patterns; omit it to allow all')
    }
    if (SatellitePatterns.problemOf(value) === null) return value as string[]
    return this.refuse([], `${path}.${name}`, 'must have at most 16 patterns; each has 1 to 64 characters, at most ' +
      '8 *, and neither control characters nor white space at either end')
  }

  private readPort (fields: Fields, path: string): number | null {
    const { ports } = this
    const port = fields['port'] ?? null
    if (port === null) {
      return ports.length <= 1 ? null : this.refuse(null, path, 'needs a port: UDP_PORT has several')
    }
    if (typeof port === 'number' && port > 0 && ports.includes(port)) return port
    return this.refuse(null, `${path}.port`, 'must be one of UDP_PORT')
  }

  protected override refuseField (key: string, path: string, known: readonly string[]): void {
    const meant = nearest(key.slice(0, NAME_MAX), known)
    this.fault(path, `has an unknown field; ${meant === null ? `use ${known.join(', ')}` : `did you mean ${meant}?`}`)
  }
}
