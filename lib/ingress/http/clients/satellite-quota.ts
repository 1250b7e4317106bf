/**
 * How many satellites a token may send points of, in total: a sender that invents ids would fill everybody's tables.
 * Counted since the server started, over all workers, apart from what they are still telling each other.
 */
import type { PointColumns } from '../../../../protocol/columns.js'

/** Memory for a satellite that was counted: its id, shared with the table of satellites or not, and its place. */
export const SEEN_BYTES = 200

/** A satellite that a client has sent points of for the first time. */
export type NewSatellite = readonly [client: string, satellite: string]

export class SatelliteQuota {
  private readonly seen = new Set<string>()
  private readonly fresh: string[] = []

  /** @param max may change when tokens are reloaded; what was counted stays counted */
  constructor (public max: number) {}

  /** The first satellite that is one too many; null: all are counted from now on. */
  admit ({ count, satellites }: PointColumns): string | null {
    const added: string[] = []
    for (let point = 0; point < count; point++) {
      const satellite = satellites[point]
      // Consecutive points are often from the same satellite.
      if (satellite === undefined || satellite === satellites[point - 1] || this.seen.has(satellite.id)) continue
      if (this.seen.size >= this.max) {
        for (const id of added) this.seen.delete(id)
        return satellite.id
      }
      this.seen.add(satellite.id)
      added.push(satellite.id)
    }
    this.fresh.push(...added)
    return null
  }

  /** Counted by another worker: the bound may be passed by what two of them counted at once. */
  learn (satellite: string): void {
    this.seen.add(satellite)
  }

  /** Satellites counted here since the last calls, so many at most. */
  news (most: number): string[] {
    return this.fresh.splice(0, most)
  }
}
