/**
 * The fleet: satellites in low Earth orbit whose metrics move plausibly.
 *
 * Reproducible: the same seed, number of satellites, anomaly rate and sample times give the same values. Each satellite
 * has its own stream of random numbers, so its values do not depend on when the others are sampled. Values are sensor
 * readings in discrete steps, within the ranges of the catalogue. With probability `anomalyRate` a point has exactly
 * one metric beyond its limit, which is reported to `onAnomaly`.
 */
import type { Stream } from '../../../protocol/catalogue.js'
import { behaviourOf, type Behaviour, type Course, type OrbitView } from './behaviours.js'
import { Random } from './random.js'

const ORBIT_SECONDS = 95 * 60
const ECLIPSE_SHARE = 35 / 95
const SUNLIT_SHARE = 1 - ECLIPSE_SHARE
const PASS_SHARE = 10 / 95
const ID_DIGITS_MIN = 4

/** Ground truth: this metric of the point was set beyond its limit. */
export interface AnomalyTruth {
  /** Index in the fleet. */
  readonly satellite: number
  /** Index in the catalogue. */
  readonly metric: number
  /** Since the start of the run. */
  readonly elapsedSeconds: number
  readonly value: number
}

export interface FleetOptions {
  readonly satellites: number
  readonly seed: number
  /** Probability that a point has a metric beyond its limit: 0 to 1. */
  readonly anomalyRate: number
  readonly stream: Stream
  readonly onAnomaly: (truth: AnomalyTruth) => void
}

interface Satellite {
  readonly random: Random
  /** Position in its orbit at the start: 0 to 1. */
  readonly phase: number
  /** Position in its orbit where its ground station pass begins: 0 to 1. */
  readonly passStart: number
  readonly courses: ReadonlyArray<Course | null>
  lastSeconds: number
}

export class Fleet {
  /** Of the stream, retired ones included. */
  readonly metricCount: number
  /** SAT-0001, SAT-0002, …; with more digits if the fleet needs them. */
  readonly ids: readonly string[]
  private readonly satellites: readonly Satellite[]
  /** In catalogue order; null for retired metrics, which are not sent. */
  private readonly behaviours: ReadonlyArray<Behaviour | null>
  /** Metrics that can break a limit. */
  private readonly breakable: readonly number[]
  private readonly anomalyRate: number
  private readonly onAnomaly: (truth: AnomalyTruth) => void
  private readonly view: OrbitView = { stepSeconds: 0, sunlit: true, arcShare: 0, elevation: 0 }

  constructor (options: FleetOptions) {
    this.behaviours = options.stream.metrics.map((metric) => metric.retired ? null : behaviourOf(metric))
    this.breakable = this.behaviours.flatMap((behaviour, index) => behaviour?.beyond == null ? [] : [index])
    this.metricCount = options.stream.metrics.length
    this.anomalyRate = options.anomalyRate
    this.onAnomaly = options.onAnomaly
    const digits = Math.max(ID_DIGITS_MIN, String(options.satellites).length)
    this.ids = Array.from({ length: options.satellites }, (_, index) =>
      `SAT-${String(index + 1).padStart(digits, '0')}`)
    this.satellites = this.ids.map((_, index) => this.launch(new Random(options.seed, index)))
  }

  /**
   * The satellite's next point.
   *
   * @param elapsedSeconds since the start of the run; never less than for the satellite's previous point
   * @param values filled in catalogue order; NaN for retired metrics
   */
  sample (index: number, elapsedSeconds: number, values: Float64Array): void {
    const satellite = this.satellites[index]
    if (satellite === undefined) throw new RangeError(`the fleet has no satellite ${index}`)
    this.look(satellite, elapsedSeconds)
    let metric = 0
    for (const course of satellite.courses) {
      const behaviour = this.behaviours[metric]
      values[metric] = course === null || behaviour == null
        ? NaN
        : behaviour.reading(course.next(this.view, satellite.random))
      metric++
    }
    if (satellite.random.unit() < this.anomalyRate) this.breakLimit(index, satellite.random, elapsedSeconds, values)
  }

  private launch (random: Random): Satellite {
    return {
      random,
      phase: random.unit(),
      passStart: random.unit(),
      courses: this.behaviours.map(behaviour => behaviour?.start(random) ?? null),
      lastSeconds: NaN
    }
  }

  private look (satellite: Satellite, elapsedSeconds: number): void {
    const { view } = this
    const position = (satellite.phase + elapsedSeconds / ORBIT_SECONDS) % 1
    const inPass = (position - satellite.passStart + 1) % 1 / PASS_SHARE
    view.stepSeconds = Number.isNaN(satellite.lastSeconds) ? 0 : elapsedSeconds - satellite.lastSeconds
    view.sunlit = position < SUNLIT_SHARE
    view.arcShare = view.sunlit ? position / SUNLIT_SHARE : (position - SUNLIT_SHARE) / ECLIPSE_SHARE
    view.elevation = inPass < 1 ? Math.sin(Math.PI * inPass) : 0
    satellite.lastSeconds = elapsedSeconds
  }

  private breakLimit (satellite: number, random: Random, elapsedSeconds: number, values: Float64Array): void {
    const metric = this.breakable[Math.floor(random.unit() * this.breakable.length)]
    const behaviour = metric === undefined ? null : this.behaviours[metric]
    if (metric === undefined || behaviour?.beyond == null) return
    const value = behaviour.beyond(random)
    values[metric] = value
    this.onAnomaly({ satellite, metric, elapsedSeconds, value })
  }
}
