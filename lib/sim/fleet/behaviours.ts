/**
 * How metrics move: a course for each kind of simulation in the catalogue.
 *
 * A course stays between the two values that the catalogue gives for its metric, apart from noise, which the fleet cuts
 * off; only `beyond` yields values past a limit, when the fleet asks.
 *
 * As with a real sensor, readings come in steps of the converter and noise drifts over seconds, so closely spaced
 * readings are often equal.
 */
import type { Metric, SimulationKind } from '../../../protocol/catalogue.js'
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
  /** Readings are whole multiples of it, unless none is in the range. */
  readonly step: number
  /** Range of all other values. */
  readonly between: readonly [low: number, high: number]
  /** Range of values past the limit; null: there is none. */
  readonly beyond: readonly [low: number, high: number] | null
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

/** Charges towards the top in sunlight, slowing as it fills; drains linearly in eclipse. */
class ChargeCourse implements Course {
  private readonly top: number
  private readonly depth: number
  private readonly noise: Drift

  constructor (low: number, high: number, random: Random) {
    const span = high - low
    this.top = random.between(high - span * 0.2, high)
    this.depth = span * random.between(0.36, 0.8)
    this.noise = new Drift(span * 0.004)
  }

  next (view: OrbitView, random: Random): number {
    const missing = view.sunlit ? (1 - view.arcShare) ** 2 : view.arcShare
    return this.top - this.depth * missing + this.noise.next(view.stepSeconds, random)
  }
}

/** Fills up within hours; empties about ten times as fast while a ground station is in view. */
class FillCourse implements Course {
  private level: number
  private readonly gainPerSecond: number
  private readonly lossPerSecond: number

  constructor (private readonly low: number, private readonly high: number, random: Random) {
    const span = high - low
    this.level = random.between(low + span * 0.055, low + span * 0.713)
    this.gainPerSecond = span * random.between(4.8e-5, 9.6e-5)
    this.lossPerSecond = this.gainPerSecond * random.between(10, 13)
  }

  next (view: OrbitView, random: Random): number {
    const gain = this.gainPerSecond * random.between(0.5, 1.5)
    const loss = view.elevation > 0 ? this.lossPerSecond : 0
    this.level = Math.min(this.high, Math.max(this.low, this.level + (gain - loss) * view.stepSeconds))
    return this.level
  }
}

/** Noise floor outside of passes; rises and falls with elevation during a pass. */
class SignalCourse implements Course {
  private readonly floor: number
  private readonly rise: number
  private readonly noise: Drift

  constructor (low: number, high: number, random: Random) {
    const span = high - low
    this.floor = random.between(low, low + span * 0.073)
    this.rise = span * random.between(0.61, 0.927)
    this.noise = new Drift(span * 0.0195)
  }

  next (view: OrbitView, random: Random): number {
    return this.floor + this.rise * view.elevation + this.noise.next(view.stepSeconds, random)
  }
}

/** A random walk in small steps, pulled towards the middle. */
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

class ConstantCourse implements Course {
  private readonly value: number

  constructor (low: number, high: number) {
    this.value = (low + high) / 2
  }

  next (): number {
    return this.value
  }
}

const COURSES: { readonly [K in SimulationKind]: new (low: number, high: number, random: Random) => Course } = {
  charge: ChargeCourse,
  fill: FillCourse,
  signal: SignalCourse,
  walk: WalkCourse,
  constant: ConstantCourse
}

/** Step of a metric whose resolution is unknown. */
const STEP = 0.01

export function behaviourOf ({ resolution, simulation: { kind, between, beyond } }: Metric): Behaviour {
  return { step: resolution ?? STEP, between, beyond, start: random => new COURSES[kind](...between, random) }
}
