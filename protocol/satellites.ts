/**
 * Satellite ids: which are valid, and one shared object for each that was seen.
 *
 * A valid id has 1 to 64 characters (Unicode code points) of any script, `ISS (ZARYA)` and `NOAA 19` too, but no
 * control characters (C0, DEL, C1), no lone surrogates, and no white space at either end (what String.trim cuts).
 *
 * Two ways lead to the same object, byId and byBytes, through one open-addressing hash over the UTF-8 bytes, which on a
 * hit makes neither a string nor any other object:
 *
 *   slots    [ index + 1 | hash ][ index + 1 | hash ][ 0 | – ] …   a power of two of pairs, at most half in use
 *   entries  [ Satellite 0 ][ Satellite 1 ] …
 *   arena    the bytes of all ids, in chunks that nothing else shares
 *   crowded  by its text: a satellite that found no slot
 *
 * A search looks at PROBES_MAX slots at most, so ids that are made to collide cost a Map look-up and not a walk through
 * the table. A worker knows 100,000 satellites twice, for reading and for sorting: so one costs few bytes, and has a
 * string only once somebody asked for it.
 *
 * Body by body, so that what is refused takes no place from others:
 *
 *   begin ──▶ byId, byBytes … ──▶ keep      its points are taken: their satellites stay
 *     ▲             │                │
 *     └─────────────┴────────────────┘      begin() forgets those that were not kept: they are dead, with their bytes
 *
 * Bounded: where `max` ids are held, begin() forgets all of them, begins again at index 0 and counts `generation` up; so a
 * table holds `max` satellites and those of one body. Those that were kept stay valid as values, so there may be
 * satellites of two generations, or one that is dead and one that is not, with one index. An array kept beside the table
 * by `index` therefore stores the Satellite with its entry and takes the entry only if it is the same object; `generation`
 * says when to drop the whole array.
 */
import { isUtf8 } from 'node:buffer'

/** A satellite id that was seen and found valid: interned once, then shared by every point. Valid while its table keeps it. */
export class Satellite {
  private text: string | null = null

  /**
   * @param arena holds the id in UTF-8, as it goes into COPY rows, from `start` on; never written again there
   * @param length bytes of the id
   * @param index position in its table, from 0: a key for arrays kept beside the table. Used again after `generation` changed.
   */
  constructor (readonly arena: Buffer, readonly start: number, readonly length: number, readonly index: number) {}

  get id (): string {
    this.text ??= this.arena.toString('utf8', this.start, this.start + this.length)
    return this.text
  }

  /** Below 0 if its id comes before that of the other in byte order, above 0 if behind. */
  compare ({ arena, start, length }: Satellite): number {
    const { arena: own, start: ownStart } = this
    const end = Math.min(this.length, length)
    // A loop: ids are short, and a call into C++ takes ten times as long.
    for (let at = 0; at < end; at++) {
      const difference = (own[ownStart + at] as number) - (arena[start + at] as number)
      if (difference !== 0) return difference
    }
    return this.length - length
  }
}

/** Longest id, in Unicode code points. */
export const SATELLITE_ID_CHARACTERS_MAX = 64

/** The rule in words, for messages. */
export const SATELLITE_ID_RULE =
  'must be a string of 1 to 64 characters, with no control characters, no lone surrogates and no white space at either end'

/** Four bytes a character at most. */
export const SATELLITE_ID_BYTES_MAX = SATELLITE_ID_CHARACTERS_MAX * 4
const SATELLITES_MAX = 200_000
const PROBES_MAX = 32
const SLOTS_AT_START = 512
const ARENA_CHUNK_BYTES = 65_536
/** The text that is looked for, in UTF-8: three bytes at most for each UTF-16 unit. */
const sought = Buffer.alloc(2 * SATELLITE_ID_CHARACTERS_MAX * 3)

/** Control characters (Cc: C0, DEL, C1) and, because of the u flag, lone surrogates. */
const FORBIDDEN = /[\p{Cc}\p{Cs}]/u

/** Whether a string may be a satellite's id. */
export function isSatelliteId (id: string): boolean {
  if (id.length === 0 || id.length > 2 * SATELLITE_ID_CHARACTERS_MAX) return false
  if (FORBIDDEN.test(id) || id.trim() !== id) return false
  return id.length <= SATELLITE_ID_CHARACTERS_MAX || Array.from(id).length <= SATELLITE_ID_CHARACTERS_MAX
}

/** FNV-1a with a last mix, so that the low bits depend on every byte. */
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

/** Interns satellite ids; bounded, see the head of this file. */
export class SatelliteTable {
  private readonly crowded = new Map<string, Satellite>()
  private entries: Satellite[] = []
  private slots = new Int32Array(2 * SLOTS_AT_START)
  private mask = SLOTS_AT_START - 1
  private chunk: Buffer = Buffer.alloc(0)
  private chunkUsed = 0
  private generations = 0
  /** What stays of the table if the body under way is not kept: so many entries, and the arena up to here. */
  private keptCount = 0
  private keptChunk = this.chunk
  private keptChunkUsed = 0

  /** @param max ids held at the beginning of a body */
  constructor (private readonly max = SATELLITES_MAX) {}

  /** Counts how often the table has begun again. */
  get generation (): number {
    return this.generations
  }

  /** Before the ids of a body. Those of the last one are forgotten unless they were kept. */
  begin (): void {
    if (this.entries.length > this.keptCount) this.goBack()
    if (this.entries.length >= this.max) this.beginAgain()
    this.keep()
  }

  /** The ids of the body under way stay. */
  keep (): void {
    this.keptCount = this.entries.length
    this.keptChunk = this.chunk
    this.keptChunkUsed = this.chunkUsed
  }

  /** The satellite of an id, or null if the id is not valid. */
  byId (id: string): Satellite | null {
    if (id.length > 2 * SATELLITE_ID_CHARACTERS_MAX) return null
    const length = sought.write(id)
    const known = this.find(sought, 0, length)
    // A lone surrogate is written as the replacement character, which another id may hold.
    if (known?.id === id) return known
    return this.crowded.get(id) ?? (isSatelliteId(id) ? this.intern(sought, 0, length) : null)
  }

  /** The satellite whose id stands in bytes[start, end) as UTF-8, or null if that is not a valid id. Keeps nothing of `bytes`. */
  byBytes (bytes: Buffer, start: number, end: number): Satellite | null {
    if (end - start > SATELLITE_ID_BYTES_MAX) return null
    const known = this.find(bytes, start, end)
    if (known !== null) return known
    if (!isUtf8(bytes.subarray(start, end))) return null
    const id = bytes.toString('utf8', start, end)
    return this.crowded.get(id) ?? (isSatelliteId(id) ? this.intern(bytes, start, end) : null)
  }

  /** Null also for a satellite that found no slot. */
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

  /** Copies an id into the arena; Buffer's shared pool would be kept alive in whole by each id. */
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

  /** Puts a satellite into its slot; where the neighbourhood is full it is found by its text. */
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

  /** The last that came goes first, so no search ends too early at a slot that has become free. */
  private goBack (): void {
    for (let satellite = this.entries.at(-1); satellite !== undefined && satellite.index >= this.keptCount; satellite = this.entries.at(-1)) {
      this.entries.pop()
      this.displace(satellite)
    }
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

  private beginAgain (): void {
    this.generations++
    this.crowded.clear()
    this.entries = []
    this.slots.fill(0)
    this.chunk = Buffer.alloc(0)
    this.chunkUsed = 0
  }
}
