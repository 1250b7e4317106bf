/**
 * Points of up to 250 metrics, all or one in so many of them filled. Values have two decimals, and those of one row
 * follow from each other, so that a stored row shows whether they are its own:
 *
 *   value of metric m in point n   ((37 n + 101 m) mod 7800 + 2000) / 100
 */
import { satelliteOf, type PointSet, type Wide } from '../points.js'

/** As long as the names of the built-in metrics, on average. */
export const wideName = (metric: number): string => `subsystem_metric_${String(metric).padStart(3, '0')}`

export const wideNames = ({ metrics }: Pick<Wide, 'metrics'>): string[] => (
  Array.from({ length: metrics }, (_, metric) => wideName(metric)))

/** A catalogue file. Without limits. */
export function wideCatalogue (wide: Pick<Wide, 'metrics'>): string {
  const metrics = Object.fromEntries(wideNames(wide).map((name, metric) => [name, { id: metric + 1 }] as const))
  return JSON.stringify({ catalogue: 1, streams: { telemetry: { metrics } } })
}

export const MODULUS = 7_800
export const METRIC_STEP = 101
const POINT_STEP = 37
const HUNDREDTHS_MIN = 2_000

/** NaN: the point does not have this metric. */
export function wideValue (number: number, metric: number, { oneIn }: Wide): number {
  if ((number + metric) % oneIn !== 0) return NaN
  return ((number * POINT_STEP + metric * METRIC_STEP) % MODULUS + HUNDREDTHS_MIN) / 100
}

/** Values of each point: as many in all of them. */
export function valuesPerPoint ({ metrics, oneIn }: Wide): number {
  if (metrics % oneIn !== 0) throw new RangeError(`${metrics} metrics are not a multiple of ${oneIn}`)
  return metrics / oneIn
}

/** A JSON array of the points of a body. @param time the field, as text */
export function wideJson ({ satellites, batch }: PointSet, wide: Wide, body: number, time: string): string {
  const names = wideNames(wide)
  const points = Array.from({ length: batch }, (_, index) => {
    const number = body * batch + index
    const fields = names.flatMap((name, metric) => {
      const value = wideValue(number, metric, wide)
      return Number.isNaN(value) ? [] : [`"${name}":${value}`]
    })
    return `{"satellite_id":"${satelliteOf(number, satellites)}",${time}${fields.join()}}`
  })
  return `[${points.join()}]`
}
