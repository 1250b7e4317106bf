/**
 * The values of one satellite over time: what the database answered, and behind it, in bounded memory, what has come
 * live since. A gap in the data is a gap in the lines.
 */
import { positionOf, type MetricInfo, type Value } from './catalogue.js'
import { Ring } from './ring.js'

/** GET /satellites/{id}/{stream} */
export interface SeriesAnswer {
  /** ISO 8601. */
  readonly from: string
  readonly to: string
  readonly kind: 'raw' | 'buckets'
  /** Null for raw points. */
  readonly bucket_ms: number | null
  readonly time_ms: readonly number[]
  readonly metrics: Readonly<Record<string, {
    readonly values?: readonly Value[]
    /** Of buckets: three of numbers … */
    readonly min?: ReadonlyArray<number | null>
    readonly max?: ReadonlyArray<number | null>
    readonly avg?: ReadonlyArray<number | null>
    /** … and one of states and bools. */
    readonly last?: readonly Value[]
  }>>
}

type Column = Array<number | null>
/**
 * Times in seconds; then maximum, minimum and mean; single points have only the last. A state is its index among the
 * metric's states, and has only the last too.
 */
export type SeriesData = [number[], Column, Column, Column]

/** Live points kept until the database is asked again: four a second for five minutes. */
export const LIVE_POINTS_MAX = 1_200
/** A step is a gap if it is this many times the usual one … */
const GAP_STEPS = 3
/** … and, between single points, at least this long. */
const GAP_MS_MIN = 3_000

export class SatelliteSeries {
  /** Counts changes. */
  version = 0
  private answer: SeriesAnswer | null = null
  private readonly live: Ring
  private gapMs = GAP_MS_MIN

  constructor (readonly metrics: readonly MetricInfo[]) {
    this.live = new Ring(LIVE_POINTS_MAX, metrics.length)
  }

  /** @param answer replaces the one before */
  setStored (answer: SeriesAnswer): void {
    this.version++
    this.answer = answer
    this.gapMs = answer.bucket_ms === null
      ? Math.max(GAP_MS_MIN, GAP_STEPS * median(stepsOf(answer.time_ms)))
      : GAP_STEPS / 2 * answer.bucket_ms
  }

  /** @param values in the order of `metrics` */
  addLive (timeMs: number, values: readonly Value[]): void {
    const positions = this.metrics.map((metric, index) => positionOf(values[index] ?? null, metric))
    if (this.live.push(timeMs, positions)) this.version++
  }

  /** @param metric one of `metrics` */
  data (metric: MetricInfo): SeriesData {
    const data: SeriesData = [[], [], [], []]
    let beforeMs: number | null = null
    const add = (timeMs: number, max: number | null, min: number | null, mean: number | null): void => {
      if (beforeMs !== null && timeMs - beforeMs > this.gapMs) push(data, (beforeMs + timeMs) / 2, null, null, null)
      push(data, timeMs, max, min, mean)
      beforeMs = timeMs
    }
    const { time_ms: times = [], metrics = {} } = this.answer ?? {}
    const { values, max, min, last = values, avg = last } = metrics[metric.ownName] ?? {}
    times.forEach((timeMs, index) => add(timeMs, max?.[index] ?? null, min?.[index] ?? null,
      positionOf(avg?.[index] ?? null, metric)))
    const [liveTimes, ...columns] = this.live.read(times.at(-1) ?? -Infinity)
    const column = columns[this.metrics.findIndex(({ name }) => name === metric.name)] ?? []
    liveTimes.forEach((timeMs, index) => add(timeMs, null, null, column[index] ?? null))
    return data
  }
}

function push (data: SeriesData, timeMs: number, max: number | null, min: number | null, mean: number | null): void {
  data[0].push(timeMs / 1000)
  data[1].push(max)
  data[2].push(min)
  data[3].push(mean)
}

function stepsOf (times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - (times[index] ?? time))
}

function median (values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
