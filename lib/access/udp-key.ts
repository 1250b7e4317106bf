/** Keys of UDP senders. Only the primary and UDP workers know their secrets. */
import type { PacketKey } from '../../protocol/packet/packet-key.js'

export const UDP_KEYS_MAX = 1_000

export interface UdpKey extends PacketKey {
  /** Names that senders with this key may use, as ids and patterns like in limits; null: any. */
  readonly senders: readonly string[] | null
  /** Satellites whose points they may send, written the same way; null: all. */
  readonly satellites: readonly string[] | null
  /** The UDP port where the key is valid; null: the only one. */
  readonly port: number | null
}
