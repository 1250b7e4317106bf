/**
 * How each metric of the catalogue behaves: one table, BEHAVIOURS, by metric name.
 *
 * A metric without an entry gets a random walk on the good side of its limit. Every course stays within the metric's
 * default limit with a margin; only `beyond` yields values past it, when the fleet asks.
 *
 * As with a real sensor, readings come in steps of the converter and noise drifts over seconds, so closely spaced
 * readings are often equal.
 */
import type { Metric } from '../../../protocol/metrics.js'
import type { Random } from './random.js'

/** A satellite's situation in orbit at one moment. */
export interface OrbitView {
  /** Since the satellite's last point; 0 for its first. */
  stepSeconds: number
  sunlit: boolean
  /** Elapsed share of the sunlit arc or of the eclipse: 0 to 1. */
  arcShare: number
  /** Sine of the progress through a ground station pass: 0 at its ends and outside of passes, 1 in its middle. */
  elevation: number
}

/** One metric of one satellite. */
export interface Course {
  next (view: OrbitView, random: Random): number
}

export interface Behaviour {
  /** Converter steps per unit: a whole number, so that readings have no rounding errors. */
  readonly stepsPerUnit: number
  /** Range of values past the limit. */
  readonly beyond: readonly [low: number, high: number]
  start (random: Random): Course
}

const DRIFT_SECONDS = 20

/** Bounded noise that decorrelates within some twenty seconds, however often it is sampled. */
class Drift {
  private value = 0

  /** @param amplitude bounds: -amplitude to amplitude */
  constructor (private readonly amplitude: number) {}

  /** First-order autoregressive process: the spread does not depend on the step length. */
  next (stepSeconds: number, random: Random): number {
    const kept = Math.exp(-stepSeconds / DRIFT_SECONDS)
    const pushed = this.value * kept + Math.sqrt(1 - kept * kept) * this.amplitude * random.between(-1, 1)
    this.value = Math.min(this.amplitude, Math.max(-this.amplitude, pushed))
    return this.value
  }
}

/** Charges towards `top` in sunlight, slowing as it fills; drains linearly by `depth` in eclipse. */
class BatteryCourse implements Course {
  private readonly top: number
  private readonly depth: number
  private readonly noise = new Drift(0.2)

  constructor (random: Random) {
    this.top = random.between(88, 98)
    this.depth = random.between(18, 40)
  }

  next (view: OrbitView, random: Random): number {
    const missing = view.sunlit ? (1 - view.arcShare) ** 2 : view.arcShare
    return this.top - this.depth * missing + this.noise.next(view.stepSeconds, random)
  }
}

const STORAGE_FLOOR_MB = 400
/** The payload pauses here, far from the limit. */
const STORAGE_PAUSE_MB = 84_000

/** Fills with payload data; empties about ten times as fast while a ground station is in view. */
class StorageCourse implements Course {
  private usedMb: number
  private readonly payloadMbPerSecond: number
  private readonly downlinkMbPerSecond: number

  constructor (random: Random) {
    this.usedMb = random.between(5_000, 60_000)
    this.payloadMbPerSecond = random.between(4, 8)
    this.downlinkMbPerSecond = this.payloadMbPerSecond * random.between(10, 13)
  }

  next (view: OrbitView, random: Random): number {
    const gain = this.payloadMbPerSecond * random.between(0.5, 1.5)
    const loss = view.elevation > 0 ? this.downlinkMbPerSecond : 0
    const used = this.usedMb + (gain - loss) * view.stepSeconds
    this.usedMb = Math.min(STORAGE_PAUSE_MB, Math.max(STORAGE_FLOOR_MB, used))
    return this.usedMb
  }
}

/** Noise floor outside of passes; rises and falls with elevation during a pass. */
class SignalCourse implements Course {
  private readonly floorDbm: number
  private readonly riseDb: number
  private readonly noise = new Drift(0.8)

  constructor (random: Random) {
    this.floorDbm = random.between(-95, -92)
    this.riseDb = random.between(25, 38)
  }

  next (view: OrbitView, random: Random): number {
    return this.floorDbm + this.riseDb * view.elevation + this.noise.next(view.stepSeconds, random)
  }
}

/** A random walk in small steps between two bounds, pulled towards their middle. */
class WalkCourse implements Course {
  private value: number

  constructor (private readonly low: number, private readonly high: number, random: Random) {
    this.value = random.between(low, high)
  }

  next (_view: OrbitView, random: Random): number {
    const { low, high } = this
    const pull = ((low + high) / 2 - this.value) * 0.01
    const step = (high - low) * 0.01 * random.between(-1, 1)
    this.value = Math.min(high, Math.max(low, this.value + pull + step))
    return this.value
  }
}

const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  battery_charge_percent: { stepsPerUnit: 4, beyond: [0.5, 9.5], start: random => new BatteryCourse(random) },
  storage_usage_mb: { stepsPerUnit: 1, beyond: [95_500, 100_000], start: random => new StorageCourse(random) },
  signal_strength_dbm: { stepsPerUnit: 2, beyond: [-120, -100.5], start: random => new SignalCourse(random) }
}

/** The metric's entry in the table, or a random walk near its limit. */
export function behaviourOf (metric: Metric): Behaviour {
  const known = BEHAVIOURS[metric.name]
  if (known !== undefined) return known
  const { side, value: limit } = metric.limit
  const size = Math.max(Math.abs(limit), 1)
  const good = side === 'low' ? 1 : -1
  const order = (near: number, far: number): [number, number] => good > 0 ? [near, far] : [far, near]
  const [low, high] = order(limit + good * size * 0.1, limit + good * size)
  const [beyondHigh, beyondLow] = [limit - good * size * 0.01, limit - good * size * 0.2]
  return {
    stepsPerUnit: 100,
    beyond: [Math.min(beyondLow, beyondHigh), Math.max(beyondLow, beyondHigh)],
    start: random => new WalkCourse(low, high, random)
  }
}
