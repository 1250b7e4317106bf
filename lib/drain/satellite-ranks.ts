/**
 * The order of satellites in a COPY: a rank for each id, in byte order.
 *
 * Ids are interned by their bytes. Ranks of known satellites are kept between COPYs; only new ids are sorted and merged
 * in. With 100,000 satellites that costs one search per new id and one copy of the order per COPY that contains any.
 *
 *   key   of a row: its satellite's index in the table + 1; 0 for an invalid id
 *   rank  of a key: position of the satellite in byte order, from 1; 0 for key 0
 */
import { SatelliteTable, type Satellite } from '../../protocol/satellites.js'

/** Satellites remembered before all are forgotten. */
const SATELLITES_MAX = 200_000

export class SatelliteRanks {
  /** Bounded by begin(). */
  private table = new SatelliteTable()
  /** All ranked satellites of the table, in byte order. */
  private ranked: Satellite[] = []
  /** The others: of this COPY, and of those given up before toRanks. */
  private fresh: Satellite[] = []
  private rankOfKey = new Uint32Array(1024)

  /** Highest rank that a row can have. */
  get highest (): number {
    return this.ranked.length
  }

  /** Call before the rows of a COPY: forgets all satellites if it might exceed SATELLITES_MAX. */
  begin (rows: number): void {
    if (this.ranked.length + this.fresh.length + rows <= SATELLITES_MAX) return
    this.table = new SatelliteTable()
    this.ranked = []
    this.fresh = []
  }

  /** Key of the satellite whose id is bytes[start, end). */
  keyOf (bytes: Buffer, start: number, end: number): number {
    const satellite = this.table.byBytes(bytes, start, end)
    if (satellite === null) return 0
    if (satellite.index === this.ranked.length + this.fresh.length) this.fresh.push(satellite)
    return satellite.index + 1
  }

  /** Call after the last keyOf of a COPY: turns keys into ranks, in place. */
  toRanks (keys: Uint32Array, count: number): void {
    if (this.fresh.length > 0) this.rankFresh()
    const { rankOfKey } = this
    for (let row = 0; row < count; row++) keys[row] = rankOfKey[keys[row] as number] as number
  }

  private rankFresh (): void {
    const fresh = this.fresh.sort((a, b) => a.compare(b))
    const old = this.ranked
    const merged: Satellite[] = []
    let next = 0
    for (const satellite of fresh) {
      const place = placeIn(old, satellite, next)
      for (; next < place; next++) merged.push(old[next] as Satellite)
      merged.push(satellite)
    }
    for (; next < old.length; next++) merged.push(old[next] as Satellite)
    if (this.rankOfKey.length <= merged.length) this.rankOfKey = new Uint32Array(merged.length * 2)
    merged.forEach((satellite, place) => { this.rankOfKey[satellite.index + 1] = place + 1 })
    this.ranked = merged
    this.fresh = []
  }
}

/** The first index >= `from` whose satellite does not sort before this one. */
function placeIn (sorted: readonly Satellite[], satellite: Satellite, from: number): number {
  let [low, high] = [from, sorted.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as Satellite).compare(satellite) < 0) low = middle + 1
    else high = middle
  }
  return low
}
