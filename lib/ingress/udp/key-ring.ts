/**
 * The keys of one port: says of each packet, before it is decoded, whose it is or why it is denied.
 *
 *   frame of version 2 ─▶ key known? ─▶ code right? ─▶ its key, with the table of its senders
 *                            unknown_key   wrong_code
 *   anything else ──▶ unauthenticated, or as if there were no keys (`isOpen`)
 *
 * A sender with a key and one of the same name without, or with another key, have nothing to do with each other. What
 * is denied leaves no trace but a count: keys that do not exist cost no memory, however many are named, and a wrong
 * code costs one HMAC. Tables outlive a reload, so that a key which is taken away and put back does not let replays in.
 */
import { UDP_KEYS_MAX, type UdpKey } from '../../access/udp-key.js'
import { SatellitePatterns } from '../../limits/satellite-patterns.js'
import { PacketSigner, keyIdOf } from '../../../protocol/packet/packet-key.js'
import type { PointColumns } from '../../../protocol/columns.js'
import { KeyedSenders, type SavedKeyedSenders, type SenderMarks } from './keyed-senders.js'
import type { SequenceTotals } from './senders.js'

/** Reasons to deny a packet. The list is part of the interface: metrics have these names. */
export const DENIED_REASONS = [
  /** It has no key. */
  'unauthenticated',
  /** No key has this id, or none that is valid at this port. */
  'unknown_key',
  /** Forged, damaged, or made with another secret. */
  'wrong_code',
  /** The key does not allow the name of the sender. */
  'sender_forbidden',
  /** The key does not allow a satellite in it. */
  'satellite_forbidden'
] as const
export type DeniedReason = typeof DENIED_REASONS[number]

export interface RingKey {
  readonly id: string
  readonly signer: PacketSigner
  readonly senders: SatellitePatterns | null
  readonly satellites: SatellitePatterns | null
  readonly table: KeyedSenders
}

/** Tables of senders by id of key. */
export type SavedKeyRing = ReadonlyArray<readonly [key: string, senders: SavedKeyedSenders]>
export type RingMarks = ReadonlyArray<readonly [key: string, marks: SenderMarks]>

/** Tables of all keys, and of those that are gone. */
export const TABLES_MAX = 2 * UDP_KEYS_MAX

export class KeyRing {
  private keys: ReadonlyMap<string, RingKey> | null = null
  /** Of present and former keys. */
  private readonly tables = new Map<string, KeyedSenders>()

  /**
   * @param port where packets arrive; keys of other ports are unknown here
   * @param isOpen whether packets without a key are accepted
   * @param totals of all senders, to which the tables add
   */
  constructor (
    private readonly port: number, private readonly isOpen: boolean, private readonly totals: SequenceTotals
  ) {}

  /** Takes effect with the next packet. @param keys null: none is required, and frames of version 2 are unknown */
  replace (keys: readonly UdpKey[] | null): void {
    const valid = keys?.filter(({ port }) => port === null || port === this.port)
    this.keys = valid === undefined ? null : new Map(valid.map((key) => [key.id, this.ringKey(key)]))
    this.dropTables()
  }

  /** The key of an authentic packet, null if it needs none, or why it is denied. */
  check (bytes: Buffer): RingKey | DeniedReason | null {
    if (this.keys === null) return null
    const id = keyIdOf(bytes)
    if (id === null) return this.isOpen ? null : 'unauthenticated'
    const key = this.keys.get(id)
    if (key === undefined) return 'unknown_key'
    return key.signer.accepts(bytes) ? key : 'wrong_code'
  }

  /** Keys with senders that were heard. */
  * heard (): Iterable<readonly [key: string, table: KeyedSenders]> {
    for (const [id, table] of this.tables) if (table.size > 0) yield [id, table]
  }

  save (): SavedKeyRing {
    return Array.from(this.tables, ([id, table]) => [id, table.save()])
  }

  /** Takes over the tables of another process, before the first packet. */
  load (saved: SavedKeyRing): void {
    for (const [id, senders] of saved) this.tableOf(id).load(senders)
    this.dropTables()
  }

  saveMarks (): RingMarks {
    return Array.from(this.tables, ([id, table]) => [id, table.saveMarks()])
  }

  restore (marks: RingMarks): void {
    for (const [id, senders] of marks) this.tableOf(id).restore(senders)
    this.dropTables()
  }

  /** Of the keys that are gone, those known for longest. */
  private dropTables (): void {
    for (const id of this.tables.keys()) {
      if (this.tables.size <= TABLES_MAX) break
      if (this.keys?.has(id) !== true) this.tables.delete(id)
    }
  }

  private ringKey ({ id, secret, senders, satellites }: UdpKey): RingKey {
    return {
      id,
      signer: new PacketSigner(secret),
      senders: senders === null ? null : new SatellitePatterns(senders),
      satellites: satellites === null ? null : new SatellitePatterns(satellites),
      table: this.tableOf(id)
    }
  }

  private tableOf (id: string): KeyedSenders {
    const known = this.tables.get(id)
    if (known !== undefined) return known
    const table = new KeyedSenders(this.totals)
    this.tables.set(id, table)
    return table
  }
}

/** Whether some of these points are of satellites that are not among these. */
export function hasOthers (allowed: SatellitePatterns, { count, satellites }: PointColumns): boolean {
  for (let point = 0; point < count; point++) {
    const satellite = satellites[point]
    // Consecutive points are often from the same satellite.
    if (satellite === undefined || satellite === satellites[point - 1]) continue
    if (!allowed.matches(satellite.id)) return true
  }
  return false
}
