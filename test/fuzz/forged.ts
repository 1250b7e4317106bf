/**
 * An honest sender with a key, and what attackers make of its packets: forged, truncated, replayed, reordered, signed
 * with another key or none. Some attackers hold a key of their own. None of it may become a row or change a number of
 * the sender.
 */
import { Random } from '../../lib/sim/fleet/random.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { PACKET_BYTES_MAX } from '../../protocol/packet/packet.js'
import type { Dear } from './dear.js'
import { keyOf } from './oracle.js'

const SECRET = 'of-the-honest-sender-'.repeat(2)
const INSIDER_SECRET = 'of-somebody-else-'.repeat(2)
const KEY_ID = 'honest-key'
const INSIDER_ID = 'insider-key'
export const HONEST = 'honest'
/** The content of UDP_KEYS_FILE. */
export const KEYS_FILE = JSON.stringify({
  keys: [
    { id: KEY_ID, secret: SECRET, senders: [HONEST] },
    { id: INSIDER_ID, secret: INSIDER_SECRET, senders: ['insider'] }
  ]
})

/** Packets that attackers remember. */
const CAPTURED_MAX = 500
/** Started before: what was captured then is replayed, too. */
const [OLD_EPOCH, EPOCH] = [1_000, 2_000]
const EPOCHS = [0, OLD_EPOCH, EPOCH, EPOCH + 1, Number.MAX_SAFE_INTEGER]

export interface Honest {
  readonly packet: Buffer
  readonly row: string
}

/** What the server says of the sender, without the counts of dropped packets. */
export type Numbers = Readonly<
  Record<'epoch' | 'first' | 'highest' | 'received' | 'missing' | 'late' | 'restarts', number>
>

export class Forgeries {
  private readonly random: Random
  private readonly honestEncoder = new PacketEncoder(undefined, `${KEY_ID}:${SECRET}`)
  private readonly forgers = [
    new PacketEncoder(undefined, `${KEY_ID}:${INSIDER_SECRET}`),
    new PacketEncoder(undefined, `${INSIDER_ID}:${INSIDER_SECRET}`),
    new PacketEncoder(undefined, `unknown-key:${SECRET}`),
    new PacketEncoder()
  ]

  private readonly captured: Buffer[] = []
  private epoch = OLD_EPOCH
  private sent = 0

  /** @param changeBytes changes some at random */
  constructor (seed: number, private readonly nowMs: number, private readonly changeBytes: (bytes: Buffer) => Buffer) {
    this.random = new Random(seed, 3)
  }

  /** The next packets of the honest sender. */
  honest (count: number): Honest[] {
    return Array.from({ length: count }, () => {
      const [id, timeMicros, value] = [`K${this.epoch}-${this.sent}`, this.nowMs * 1_000 + this.sent, this.sent]
      this.honestEncoder.begin(HONEST, this.epoch, this.sent++)
      this.honestEncoder.add(id, timeMicros, [value])
      const packet = Buffer.from(this.honestEncoder.finish())
      this.captured[this.captured.length < CAPTURED_MAX ? this.captured.length : this.below(CAPTURED_MAX)] = packet
      return { packet, row: keyOf(id, String(timeMicros), [value]) }
    })
  }

  /** The honest sender is started again, once. */
  restart (): void {
    this.epoch = EPOCH
    this.sent = 0
  }

  /** What the server must say after all honest packets, whatever came between them. */
  get numbers (): Numbers {
    const { epoch, sent } = this
    return { epoch, first: 0, highest: sent - 1, received: sent, missing: 0, late: 0, restarts: 1 }
  }

  forge (): Buffer {
    const packet = this.pick(this.captured)
    switch (this.below(7)) {
      case 0: return packet
      case 1: return packet.subarray(0, this.below(packet.length))
      case 2: return this.changeBytes(packet)
      case 3: return this.flipped(packet)
      case 4: return this.spliced(packet, this.pick(this.captured))
      default: return this.encoded(this.pick(this.forgers))
    }
  }

  private flipped (packet: Buffer): Buffer {
    const copy = Buffer.from(packet)
    const at = this.below(copy.length)
    copy[at] = (copy[at] ?? 0) ^ (1 << this.below(8))
    return copy
  }

  /** The beginning of one and the end of another, most often the code. */
  private spliced (one: Buffer, other: Buffer): Buffer {
    const tail = this.below(2) === 0 ? 32 : this.below(other.length)
    const spliced = Buffer.concat([one.subarray(0, one.length - tail), other.subarray(other.length - tail)])
    return spliced.equals(one) || spliced.equals(other) ? this.flipped(one) : spliced
  }

  private encoded (encoder: PacketEncoder): Buffer {
    const seq = this.pick([0, this.sent - 1, this.sent, this.sent + 1, this.below(100_000), Number.MAX_SAFE_INTEGER])
    encoder.begin(HONEST, this.pick(EPOCHS), seq)
    if (this.below(4) > 0) encoder.add(`F${this.below(1_000)}`, this.nowMs * 1_000, [this.below(1_000)])
    return Buffer.from(encoder.finish())
  }

  private below (bound: number): number {
    return Math.floor(this.random.unit() * bound)
  }

  private pick<T> (values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

/** The packet without a valid code that costs the most: all of it must be hashed. */
export function dearForgery (): Dear<Buffer> {
  const encoder = new PacketEncoder(PACKET_BYTES_MAX, `${KEY_ID}:${INSIDER_SECRET}`)
  return {
    name: 'the largest packet with a wrong code',
    make: () => {
      encoder.begin(HONEST, EPOCH, 0)
      while (encoder.add('F', null, [1]));
      return Buffer.from(encoder.finish())
    }
  }
}
