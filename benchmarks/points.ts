/**
 * The points of a load. Each has a number that determines its satellite and values, and that can be recovered from the
 * stored row: so stored points can be compared one by one with acknowledged ones.
 *
 *   satellite_id          SAT-00042: number modulo the satellites
 *   storage_usage_mb      number / 2, which a double holds exactly
 *   other metrics         plausible, with one or two decimals, on the good side of their default limits
 *
 * A load is split into bodies of `batch` points; body b contains the points from b * batch. The same bodies are sent
 * repeatedly, with fresh times if the format allows that without work for the sender.
 */

/** Higher numbers would violate the default limit of storage_usage_mb. */
export const POINT_NUMBER_MAX = 189_999

export interface PointSet {
  readonly satellites: number
  readonly bodies: number
  /** Points per body. */
  readonly batch: number
  /** Of other metrics than the built-in ones. */
  readonly wide?: Wide
}

/** Points of many metrics, see wide/wide-points.ts. */
export interface Wide {
  readonly metrics: number
  /** One value in so many is there. */
  readonly oneIn: number
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
