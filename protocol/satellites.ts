/**
 * Satellite ids: which are valid, and one shared object for each that was seen.
 *
 * A valid id has 1 to 64 characters (Unicode code points) of any script, `ISS (ZARYA)` and `NOAA 19` too, but no
 * control characters (C0, DEL, C1), no lone surrogates, and no white space at either end (what String.trim cuts).
 *
 * Two ways lead to the same object: byId through a Map, byBytes through an open-addressing hash over the UTF-8 bytes,
 * which on a hit makes neither a string nor any other object:
 *
 *   slots    [ index + 1 | hash ][ index + 1 | hash ][ 0 | – ] …   a power of two of pairs, at most half in use
 *   entries  [ Satellite 0 ][ Satellite 1 ] …
 *   arena    the bytes of all ids, in chunks that nothing else shares
 *
 * A search looks at PROBES_MAX slots at most and then goes by the string, so ids that are made to collide cost a
 * Map look-up and not a walk through the table.
 *
 * Bounded: when `max` ids are held and another one comes, the table forgets all of them, begins again at index 0 and
 * counts `generation` up. Satellites given out before stay valid as values, so one body may hold two objects for one
 * id, and satellites of two generations with one index. An array kept beside the table by `index` therefore stores
 * the Satellite with its entry and takes the entry only if it is the same object; `generation` says when to drop the
 * whole array.
 */
import { isUtf8 } from 'node:buffer'

/** A satellite id that was seen and found valid: interned once, then shared by every point. */
export interface Satellite {
  readonly id: string
  /** The id in UTF-8, as it goes into COPY rows. */
  readonly utf8: Buffer
  /** Position in its table, from 0: a key for arrays kept beside the table. Used again after `generation` changed. */
  readonly index: number
}

/** Longest id, in Unicode code points. */
export const SATELLITE_ID_CHARACTERS_MAX = 64

/** The rule in words, for messages. */
export const SATELLITE_ID_RULE =
  'must be a string of 1 to 64 characters, with no control characters, no lone surrogates and no white space at either end'

/** Four bytes a character at most. */
const ID_BYTES_MAX = SATELLITE_ID_CHARACTERS_MAX * 4
const SATELLITES_MAX = 200_000
const PROBES_MAX = 32
const SLOTS_AT_START = 512
const ARENA_CHUNK_BYTES = 65_536

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

function isSame (utf8: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (utf8.length !== end - start) return false
  for (let at = 0; at < utf8.length; at++) {
    if (utf8[at] !== bytes[start + at]) return false
  }
  return true
}

/** Interns satellite ids; bounded, see the head of this file. */
export class SatelliteTable {
  private readonly byText = new Map<string, Satellite>()
  private entries: Satellite[] = []
  private slots = new Int32Array(2 * SLOTS_AT_START)
  private mask = SLOTS_AT_START - 1
  private chunk: Buffer = Buffer.alloc(0)
  private chunkUsed = 0
  private generations = 0

  /** @param max ids held at once */
  constructor (private readonly max = SATELLITES_MAX) {}

  /** Counts how often the table has begun again. */
  get generation (): number {
    return this.generations
  }

  /** The satellite of an id, or null if the id is not valid. */
  byId (id: string): Satellite | null {
    return this.byText.get(id) ?? (isSatelliteId(id) ? this.intern(id) : null)
  }

  /** The satellite whose id stands in bytes[start, end) as UTF-8, or null if that is not a valid id. Keeps nothing of `bytes`. */
  byBytes (bytes: Buffer, start: number, end: number): Satellite | null {
    if (end - start > ID_BYTES_MAX) return null
    const hash = hashOf(bytes, start, end)
    let slot = hash & this.mask
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const entry = this.slots[2 * slot] ?? 0
      if (entry === 0) break
      if (this.slots[2 * slot + 1] === hash) {
        const satellite = this.entries[entry - 1]
        if (satellite !== undefined && isSame(satellite.utf8, bytes, start, end)) return satellite
      }
      slot = (slot + 1) & this.mask
    }
    return isUtf8(bytes.subarray(start, end)) ? this.byId(bytes.toString('utf8', start, end)) : null
  }

  private intern (id: string): Satellite {
    if (this.entries.length >= this.max) this.beginAgain()
    const utf8 = this.store(id)
    // A fresh string: the one given may be a slice that keeps a whole body in memory.
    const satellite: Satellite = { id: utf8.toString('utf8'), utf8, index: this.entries.length }
    this.entries.push(satellite)
    this.byText.set(satellite.id, satellite)
    if (this.entries.length * 2 > this.mask) this.growSlots()
    else this.place(satellite)
    return satellite
  }

  /** Copies an id into the arena; Buffer's shared pool would be kept alive in whole by each id. */
  private store (id: string): Buffer {
    if (this.chunkUsed + ID_BYTES_MAX > this.chunk.length) {
      this.chunk = Buffer.allocUnsafeSlow(ARENA_CHUNK_BYTES)
      this.chunkUsed = 0
    }
    const start = this.chunkUsed
    this.chunkUsed += this.chunk.write(id, start, 'utf8')
    return this.chunk.subarray(start, this.chunkUsed)
  }

  /** Puts a satellite into its slot; where the neighbourhood is full it is found through its string alone. */
  private place (satellite: Satellite): void {
    const hash = hashOf(satellite.utf8, 0, satellite.utf8.length)
    let slot = hash & this.mask
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      if (this.slots[2 * slot] === 0) {
        this.slots[2 * slot] = satellite.index + 1
        this.slots[2 * slot + 1] = hash
        return
      }
      slot = (slot + 1) & this.mask
    }
  }

  private growSlots (): void {
    this.slots = new Int32Array(this.slots.length * 2)
    this.mask = this.slots.length / 2 - 1
    for (const satellite of this.entries) this.place(satellite)
  }

  private beginAgain (): void {
    this.generations++
    this.byText.clear()
    this.entries = []
    this.slots.fill(0)
    this.chunk = Buffer.alloc(0)
    this.chunkUsed = 0
  }
}
