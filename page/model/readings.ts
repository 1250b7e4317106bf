/** The last values of one satellite: as the database has them, then as they come. */
import { qualified, type Value } from './catalogue.js'
import type { MetricLimits } from './limits.js'
import { stateOf, worst, type LimitState } from './state.js'

/** GET /satellites/{id} */
export interface SatelliteAnswer {
  readonly limits_version: number
  readonly streams: Readonly<Record<string, {
    readonly time: string
    readonly metrics: Readonly<Record<string, { readonly value: Value, readonly limits: MetricLimits }>>
  }>>
}

export interface Reading {
  readonly timeMs: number
  readonly value: Value
  readonly limits: MetricLimits
  readonly state: LimitState
}

export class Readings {
  private readonly byMetric = new Map<string, Reading>()

  get (metric: string): Reading | undefined {
    return this.byMetric.get(metric)
  }

  /** Of the newest point; null: none yet. */
  get timeMs (): number | null {
    const last = Math.max(...Array.from(this.byMetric.values(), ({ timeMs }) => timeMs))
    return last === -Infinity ? null : last
  }

  get state (): LimitState {
    return worst(Array.from(this.byMetric.values(), ({ state }) => state))
  }

  /** Limits always hold; of two values, the later one. */
  setStored ({ streams }: SatelliteAnswer): void {
    for (const [stream, { time, metrics }] of Object.entries(streams)) {
      for (const [name, { value, limits }] of Object.entries(metrics)) {
        const metric = qualified(stream, name)
        const stored = { timeMs: Date.parse(time), value }
        const known = this.byMetric.get(metric)
        const keeps = known !== undefined && (value === null || known.timeMs > stored.timeMs)
        this.set(metric, keeps ? known : stored, limits)
      }
    }
  }

  /** @param metric qualified */
  addLive (metric: string, timeMs: number, value: Value): void {
    const known = this.byMetric.get(metric)
    if (known === undefined || timeMs >= known.timeMs) this.set(metric, { timeMs, value }, known?.limits ?? {})
  }

  private set (
    metric: string, { timeMs, value }: { timeMs: number, value: Value }, limits: MetricLimits
  ): void {
    this.byMetric.set(metric, { timeMs, value, limits, state: stateOf(value, limits) })
  }
}
