/**
 * Satellite ids: the rule for valid ones, and a table with one shared object for each.
 *
 * A valid id has 1 to 64 characters (Unicode code points) of any script, including `ISS (ZARYA)` and `NOAA 19`, but no
 * control characters (C0, DEL, C1), no lone surrogates, and no white space at either end (as trimmed by String.trim).
 *
 * byId and byBytes look up the same objects in an open-addressing hash table over the UTF-8 bytes, without allocating
 * anything on a hit:
 *
 *   slots    [ index + 1 | hash ][ index + 1 | hash ][ 0 | – ] …   a power of two of pairs, at most half of them used
 *   entries  [ Satellite 0 ][ Satellite 1 ] …
 *   arena    the bytes of all ids, in dedicated chunks
 *   crowded  satellites without a slot, by id
 *
 * A look-up probes PROBES_MAX slots at most, so ids chosen to collide cost a look-up in a Map rather than a scan of the
 * table. A worker has 100,000 satellites in two tables, for reading and for sorting: so each takes few bytes, and has a
 * string only after the first request for it.
 *
 * Works body by body, so that refused bodies take up no space:
 *
 *   begin ──▶ byId, byBytes … ──▶ keep      its points are accepted: their satellites stay
 *     ▲             │                │
 *     └─────────────┴────────────────┘      begin() forgets those that were not kept, and reuses their bytes
 *
 * Bounded: once there are `max` ids, begin() forgets all of them, restarts at index 0 and increments `generation`. So a
 * table has at most `max` satellites and those of one body. Satellites that were kept stay valid as values, so two of
 * different generations, or a forgotten and a current one, may have the same index. An array indexed by `index` must
 * therefore store the Satellite with each entry, and use the entry only for the same object; a new `generation` is the
 * time to drop the whole array.
 */
import { isUtf8 } from 'node:buffer'

/** A valid satellite id, interned once and shared by all its points. Valid for as long as its table keeps it. */
export class Satellite {
  private text: string | null = null

  /**
   * @param arena has the id in UTF-8, as in COPY rows, at `start`; never overwritten
   * @param length bytes of the id
   * @param index position in the table, from 0, for arrays indexed by satellite; reused after `generation` has changed
   */
  constructor (readonly arena: Buffer, readonly start: number, readonly length: number, readonly index: number) {}

  get id (): string {
    this.text ??= this.arena.toString('utf8', this.start, this.start + this.length)
    return this.text
  }

  /** Negative if its id comes before the other one in byte order, positive if after. */
  compare ({ arena, start, length }: Satellite): number {
    const { arena: own, start: ownStart } = this
    const end = Math.min(this.length, length)
    // For short ids a loop takes a tenth of the time of a call into C++.
    for (let at = 0; at < end; at++) {
      const difference = (own[ownStart + at] as number) - (arena[start + at] as number)
      if (difference !== 0) return difference
    }
    return this.length - length
  }
}

/** Longest id, in Unicode code points. */
export const SATELLITE_ID_CHARACTERS_MAX = 64

/** The rule, for messages. */
export const SATELLITE_ID_RULE = 'must be a string of 1 to 64 characters, ' +
  'without control characters, lone surrogates or white space at either end'

/** At most four bytes per character. */
export const SATELLITE_ID_BYTES_MAX = SATELLITE_ID_CHARACTERS_MAX * 4
const SATELLITES_MAX = 200_000
const PROBES_MAX = 32
const SLOTS_AT_START = 512
const ARENA_CHUNK_BYTES = 65_536
/** The id being looked up, in UTF-8: at most three bytes per UTF-16 unit. */
const sought = Buffer.alloc(2 * SATELLITE_ID_CHARACTERS_MAX * 3)

/** Control characters (Cc: C0, DEL, C1) and, because of the u flag, lone surrogates. */
const FORBIDDEN = /[\p{Cc}\p{Cs}]/u

/** Whether a string is a valid satellite id. */
export function isSatelliteId (id: string): boolean {
  if (id.length === 0 || id.length > 2 * SATELLITE_ID_CHARACTERS_MAX) return false
  if (FORBIDDEN.test(id) || id.trim() !== id) return false
  return id.length <= SATELLITE_ID_CHARACTERS_MAX || Array.from(id).length <= SATELLITE_ID_CHARACTERS_MAX
}

/** FNV-1a with a final mix, so that the low bits depend on every byte. */
function hashOf (bytes: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5 | 0
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

function isSame (satellite: Satellite, bytes: Uint8Array, start: number, end: number): boolean {
  const { arena, start: first, length } = satellite
  if (length !== end - start) return false
  for (let at = 0; at < length; at++) {
    if (arena[first + at] !== bytes[start + at]) return false
  }
  return true
}

/** Interns satellite ids. Bounded: see the head of this file. */
export class SatelliteTable {
  private readonly crowded = new Map<string, Satellite>()
  private entries: Satellite[] = []
  private slots = new Int32Array(2 * SLOTS_AT_START)
  private mask = SLOTS_AT_START - 1
  private chunk: Buffer = Buffer.alloc(0)
  private chunkUsed = 0
  private generations = 0
  /** What remains if the current body is not kept: this many entries, and the arena up to here. */
  private keptCount = 0
  private keptChunk = this.chunk
  private keptChunkUsed = 0

  /** @param max ids at the start of a body */
  constructor (private readonly max = SATELLITES_MAX) {}

  /** How often the table was cleared. */
  get generation (): number {
    return this.generations
  }

  /** Starts a body. Forgets the ids of the previous one unless they were kept. */
  begin (): void {
    if (this.entries.length > this.keptCount) this.rollBack()
    if (this.entries.length >= this.max) this.clear()
    this.keep()
  }

  /** Keeps the ids of the current body. */
  keep (): void {
    this.keptCount = this.entries.length
    this.keptChunk = this.chunk
    this.keptChunkUsed = this.chunkUsed
  }

  /** The satellite of an id; null if the id is invalid. */
  byId (id: string): Satellite | null {
    if (id.length > 2 * SATELLITE_ID_CHARACTERS_MAX) return null
    const length = sought.write(id)
    const known = this.find(sought, 0, length)
    // A lone surrogate is written as the replacement character, which another id may contain.
    if (known?.id === id) return known
    return this.crowded.get(id) ?? (isSatelliteId(id) ? this.intern(sought, 0, length) : null)
  }

  /** The satellite of an id that is in the table; null if it is not. Adds nothing. */
  known (id: string): Satellite | null {
    if (id.length > 2 * SATELLITE_ID_CHARACTERS_MAX) return null
    const satellite = this.find(sought, 0, sought.write(id))
    return satellite?.id === id ? satellite : this.crowded.get(id) ?? null
  }

  /** The satellite whose id is bytes[start, end) in UTF-8; null if that is invalid. Does not retain `bytes`. */
  byBytes (bytes: Buffer, start: number, end: number): Satellite | null {
    if (end - start > SATELLITE_ID_BYTES_MAX) return null
    const known = this.find(bytes, start, end)
    if (known !== null) return known
    if (!isUtf8(bytes.subarray(start, end))) return null
    const id = bytes.toString('utf8', start, end)
    return this.crowded.get(id) ?? (isSatelliteId(id) ? this.intern(bytes, start, end) : null)
  }

  /** Null also for a satellite without a slot. */
  private find (bytes: Buffer, start: number, end: number): Satellite | null {
    const hash = hashOf(bytes, start, end)
    let slot = hash & this.mask
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const entry = this.slots[2 * slot] ?? 0
      if (entry === 0) return null
      if (this.slots[2 * slot + 1] === hash) {
        const satellite = this.entries[entry - 1]
        if (satellite !== undefined && isSame(satellite, bytes, start, end)) return satellite
      }
      slot = (slot + 1) & this.mask
    }
    return null
  }

  private intern (bytes: Buffer, start: number, end: number): Satellite {
    const satellite = this.store(bytes, start, end)
    this.entries.push(satellite)
    if (this.entries.length * 2 > this.mask) this.growSlots()
    else this.place(satellite)
    return satellite
  }

  /** Copies an id into the arena. In Buffer's shared pool, each id would keep all of the pool alive. */
  private store (bytes: Buffer, start: number, end: number): Satellite {
    if (this.chunkUsed + SATELLITE_ID_BYTES_MAX > this.chunk.length) {
      this.chunk = Buffer.allocUnsafeSlow(ARENA_CHUNK_BYTES)
      this.chunkUsed = 0
    }
    const length = bytes.copy(this.chunk, this.chunkUsed, start, end)
    const satellite = new Satellite(this.chunk, this.chunkUsed, length, this.entries.length)
    this.chunkUsed += length
    return satellite
  }

  /** Puts a satellite into a slot, or into `crowded` if none is free nearby. */
  private place (satellite: Satellite): void {
    const { arena, start, length } = satellite
    const hash = hashOf(arena, start, start + length)
    let slot = hash & this.mask
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      if (this.slots[2 * slot] === 0) {
        this.slots[2 * slot] = satellite.index + 1
        this.slots[2 * slot + 1] = hash
        return
      }
      slot = (slot + 1) & this.mask
    }
    this.crowded.set(satellite.id, satellite)
  }

  private growSlots (): void {
    this.slots = new Int32Array(this.slots.length * 2)
    this.mask = this.slots.length / 2 - 1
    this.crowded.clear()
    for (const satellite of this.entries) this.place(satellite)
  }

  /** Removes the latest first, so that no look-up stops early at a freed slot. */
  private rollBack (): void {
    while (this.entries.length > this.keptCount) this.displace(this.entries.pop() as Satellite)
    this.chunk = this.keptChunk
    this.chunkUsed = this.keptChunkUsed
  }

  private displace (satellite: Satellite): void {
    const { arena, start, length } = satellite
    let slot = hashOf(arena, start, start + length) & this.mask
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      if (this.slots[2 * slot] === satellite.index + 1) {
        this.slots[2 * slot] = 0
        return
      }
      slot = (slot + 1) & this.mask
    }
    this.crowded.delete(satellite.id)
  }

  private clear (): void {
    this.generations++
    this.crowded.clear()
    this.entries = []
    this.slots.fill(0)
    this.chunk = Buffer.alloc(0)
    this.chunkUsed = 0
  }
}
