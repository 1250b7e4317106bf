/**
 * The points of a load. Each has a number, from which satellite and values follow, and which can be read off the stored
 * row again: so what was stored can be compared with what was acknowledged, point by point.
 *
 *   satellite_id          SAT-00042: number modulo the satellites
 *   storage_usage_mb      number / 2, which a double holds exactly
 *   the other metrics     plausible, with one or two decimals, on the good side of their default limits
 *
 * A load is cut into bodies of `batch` points; body b holds the points from b * batch on. The same bodies are sent again
 * and again, with fresh times where the format allows it without work for the sender.
 */

/** Higher numbers would break the default limit of storage_usage_mb. */
export const POINT_NUMBER_MAX = 189_999

export interface PointSet {
  readonly satellites: number
  readonly bodies: number
  /** Points of a body. */
  readonly batch: number
}

export interface BenchPoint {
  readonly satelliteId: string
  readonly battery: number
  readonly storage: number
  readonly signal: number
}

export function satelliteOf (number: number, satellites: number): string {
  return `SAT-${String(number % satellites).padStart(5, '0')}`
}

export function pointOf (number: number, satellites: number): BenchPoint {
  if (number > POINT_NUMBER_MAX) throw new RangeError(`points are numbered to ${POINT_NUMBER_MAX}`)
  return {
    satelliteId: satelliteOf(number, satellites),
    // One division each: sums of decimals would have seventeen digits.
    battery: (2_000 + number * 37 % 7_800) / 100,
    storage: number / 2,
    signal: -(600 + number * 13 % 300) / 10
  }
}

/** The points of a body. */
export function pointsOf (set: PointSet, body: number): BenchPoint[] {
  return Array.from({ length: set.batch }, (_, index) => pointOf(body * set.batch + index, set.satellites))
}
