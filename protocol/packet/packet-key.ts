/**
 * Authenticated frames: version 2, for UDP only.
 *
 *   frame    = [ 2, key id, sender, epoch, seq, [ row … ], code ]
 *            | [ 2, key id, sender, epoch, seq, stream, [ row … ], code ]
 *   code     = bin 8 of 32 bytes: HMAC-SHA256 (RFC 2104) over all bytes of the packet before these 32
 *   key      = ID:SECRET, as people pass it around; the HMAC's key is the text of SECRET in ASCII
 *
 * The receiver reads the version and the key id, compares the code in constant time, and only then decodes. The code is
 * not shortened: an attacker who guesses is told nothing, and may guess for years.
 */
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto'
import { MsgpackReader } from './msgpack-reader.js'

export const KEYED_FRAME_VERSION = 2
const CODE_BYTES = 32
/** The code with its head, at the end of every packet. */
export const CODE_ELEMENT_BYTES = 2 + CODE_BYTES
const BIN_8 = 0xc4

export const KEY_ID_CHARACTERS_MAX = 32
/**
 * Whoever captures a packet can try secrets offline, so the shortest must withstand that: 32 random hexadecimal digits
 * have 128 bits.
 */
export const SECRET_CHARACTERS_MIN = 32
export const SECRET_CHARACTERS_MAX = 128
const KEY_ID = new RegExp(`^[\\w.-]{1,${KEY_ID_CHARACTERS_MAX}}$`)
const SECRET = new RegExp(`^[\\x21-\\x7e]{${SECRET_CHARACTERS_MIN},${SECRET_CHARACTERS_MAX}}$`)

/** The rules, for messages. */
export const KEY_ID_RULE = `must consist of 1 to ${KEY_ID_CHARACTERS_MAX} letters, digits, dots, dashes and underscores`
export const SECRET_RULE =
  `must be text of ${SECRET_CHARACTERS_MIN} to ${SECRET_CHARACTERS_MAX} visible ASCII characters`
export const KEY_RULE = `must be ID:SECRET, with a secret of ${SECRET_CHARACTERS_MIN} or more visible ASCII characters`

export interface PacketKey {
  readonly id: string
  readonly secret: string
}

export const isKeyId = (text: string): boolean => KEY_ID.test(text)
export const isSecret = (text: string): boolean => SECRET.test(text)

/** A key written as ID:SECRET; null if the text is none. */
export function parsePacketKey (text: string): PacketKey | null {
  const colon = text.indexOf(':')
  const [id, secret] = [text.slice(0, Math.max(0, colon)), text.slice(colon + 1)]
  return isKeyId(id) && isSecret(secret) ? { id, secret } : null
}

/** Makes and checks the codes of one secret. */
export class PacketSigner {
  private readonly key: KeyObject

  constructor (secret: string) {
    this.key = createSecretKey(secret, 'latin1')
  }

  /** Writes the code and its head into `bytes` at `at`, over everything before; returns the end of the packet. */
  sign (bytes: Buffer, at: number): number {
    bytes[at] = BIN_8
    bytes[at + 1] = CODE_BYTES
    const end = at + CODE_ELEMENT_BYTES
    this.codeOf(bytes.subarray(0, end - CODE_BYTES)).copy(bytes, end - CODE_BYTES)
    return end
  }

  /** Whether the packet ends with the code of the bytes before it. Takes as long wherever two codes differ. */
  accepts (bytes: Buffer): boolean {
    const at = bytes.length - CODE_ELEMENT_BYTES
    if (at < 0 || bytes[at] !== BIN_8 || bytes[at + 1] !== CODE_BYTES) return false
    const codeAt = bytes.length - CODE_BYTES
    return timingSafeEqual(this.codeOf(bytes.subarray(0, codeAt)), bytes.subarray(codeAt))
  }

  private codeOf (bytes: Buffer): Buffer {
    return createHmac('sha256', this.key).update(bytes).digest()
  }
}

const reader = new MsgpackReader()

/** The id of the key that a packet names: null if it is no frame of version 2, '' if it names none that is possible. */
export function keyIdOf (bytes: Buffer): string | null {
  reader.reset(bytes)
  if (reader.readArrayLength() < 1 || reader.readInteger() !== KEYED_FRAME_VERSION) return null
  const length = reader.readTextLength()
  if (length < 1 || length > KEY_ID_CHARACTERS_MAX) return ''
  return bytes.toString('latin1', reader.at, reader.at + length)
}
