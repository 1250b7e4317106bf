/**
 * How metrics move: a course for each kind of simulation in the catalogue.
 *
 * A course stays between the two values that the catalogue gives for its metric, apart from noise, which the fleet cuts
 * off; only `beyond` yields values past a limit, when the fleet asks.
 *
 * As with a real sensor, readings come in steps of the converter and noise drifts over seconds, so closely spaced
 * readings are often equal.
 */
import type { Metric, NumberSimulation, NumberSimulationKind } from '../../../protocol/catalogue.js'
import { ValueType, type MetricType } from '../../../protocol/value-types.js'
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
  start (random: Random): Course
  /** The value as the sensor reports it. */
  reading (value: number): number
  /** A value that breaks a limit; null: there is none. */
  readonly beyond: ((random: Random) => number) | null
}

const DRIFT_SECONDS = 20
/** How long a state usually lasts. */
const STATE_SECONDS = 600

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

/** Rises steadily, through its whole range within hours, and starts over. */
class CounterCourse implements Course {
  private value: number
  private readonly gainPerSecond: number

  constructor (private readonly low: number, private readonly high: number, random: Random) {
    this.value = random.between(low, high)
    this.gainPerSecond = (high - low) / random.between(3_600, 14_400)
  }

  next ({ stepSeconds }: OrbitView): number {
    this.value += this.gainPerSecond * stepSeconds
    if (this.value > this.high) this.value = this.low
    return this.value
  }
}

/** Keeps a value for about ten minutes, then takes another. */
class StateCourse implements Course {
  private value: number

  constructor (private readonly values: readonly number[], random: Random) {
    this.value = oneOf(values, random)
  }

  next ({ stepSeconds }: OrbitView, random: Random): number {
    if (random.unit() > Math.exp(-stepSeconds / STATE_SECONDS)) this.value = oneOf(this.values, random)
    return this.value
  }
}

const COURSES: { readonly [K in NumberSimulationKind]: new (low: number, high: number, random: Random) => Course } = {
  charge: ChargeCourse,
  fill: FillCourse,
  signal: SignalCourse,
  walk: WalkCourse,
  counter: CounterCourse,
  constant: ConstantCourse
}

/** Step of a metric whose resolution is unknown. */
const STEP = 0.01

type Range = readonly [low: number, high: number]

export function behaviourOf (metric: Metric): Behaviour {
  return metric.simulation.kind === 'states' ? stateBehaviour(metric) : numberBehaviour(metric, metric.simulation)
}

function numberBehaviour ({ type, resolution }: Metric, { kind, between, beyond }: NumberSimulation): Behaviour {
  const step = type === 'int' ? Math.max(Math.round(resolution ?? 1), 1) : resolution ?? STEP
  const range = rangeOf(between, type)
  const broken = beyond === null ? null : rangeOf(beyond, type)
  const narrow = NARROW[type] ?? ((value: number) => value)
  return {
    start: random => new COURSES[kind](...between, random),
    reading: value => narrow(reading(step, value, range)),
    beyond: broken === null ? null : random => narrow(reading(step, random.between(...broken), broken))
  }
}

/** To the type's own numbers. It leaves the range of none, since its ends are such numbers: see rangeOf(). */
const NARROW: { readonly [T in MetricType]?: (value: number) => number } = { int: Math.round, float32: Math.fround }

/** The range between numbers of the type; the range itself if there are none. */
function rangeOf (range: Range, type: MetricType): Range {
  if (type !== 'float32') return range
  const [low, high] = [-float32Below(-range[0]), float32Below(range[1])]
  return low <= high ? [low, high] : range
}

const FLOAT32 = new Float32Array(1)
const FLOAT32_BITS = new Int32Array(FLOAT32.buffer)

/** The greatest 32-bit float that is not above. */
function float32Below (value: number): number {
  const nearest = Math.fround(value)
  if (nearest <= value) return nearest
  FLOAT32[0] = nearest
  // Without the sign, the bits of floats are in the order of their sizes.
  FLOAT32_BITS[0] = (FLOAT32_BITS[0] as number) + (nearest > 0 ? -1 : 1)
  return FLOAT32[0]
}

/**
 * The value as the sensor reports it: the nearest multiple of its step that is in the range, so that rounding moves no
 * value across a limit. A range without one gets the value itself.
 */
function reading (step: number, value: number, [low, high]: Range): number {
  const held = Math.min(high, Math.max(low, value))
  const nearest = onGrid(held, step)
  if (nearest >= low && nearest <= high) return nearest
  const inner = onGrid(nearest < low ? held + step : held - step, step)
  return inner >= low && inner <= high ? inner : held
}

function onGrid (value: number, step: number): number {
  // Divided by a whole number where possible: multiples of 0.01 have rounding errors.
  const perUnit = Math.round(1 / step)
  return Math.abs(perUnit * step - 1) < 1e-9 ? Math.round(value * perUnit) / perUnit : Math.round(value / step) * step
}

function stateBehaviour ({ type, states, limits }: Metric): Behaviour {
  const valueType = new ValueType(type, states)
  const { warning = [], critical = [] } = limits.states ?? {}
  const broken = [...warning, ...critical].map((state) => valueType.read(state))
  const healthy = valueType.states.map(({ value }) => value).filter((value) => !broken.includes(value))
  return {
    start: random => new StateCourse(healthy, random),
    reading: (value) => value,
    beyond: broken.length === 0 ? null : (random) => oneOf(broken, random)
  }
}

function oneOf (values: readonly number[], random: Random): number {
  return values[Math.floor(random.unit() * values.length)] as number
}
