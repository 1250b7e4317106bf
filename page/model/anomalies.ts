/** The anomalies that the page shows: newest first, in bounded memory, each once. */
import { reading } from './format.js'
import type { Severity, Side } from './limits.js'

export interface Anomaly {
  /** ISO 8601. */
  readonly time: string
  readonly satellite_id: string
  readonly metric: string
  /** A state or bool as a number. */
  readonly value: number
  readonly limit: number
  readonly severity: Severity
  readonly side: Side | 'state' | `range_${Side}` | 'change'
  readonly limits_version: number
}

/** Empty text: any. */
export interface AnomalyFilter {
  readonly satellite: string
  readonly metric: string
  readonly severity: string
}

export const ANOMALIES_KEPT = 500

export function keyOf ({ time, satellite_id: satellite, metric, value, side }: Anomaly): string {
  return `${Date.parse(time)} ${metric} ${value} ${side === 'change' ? side : ''} ${satellite}`
}

export function passes (anomaly: Anomaly, { satellite, metric, severity }: AnomalyFilter): boolean {
  return (satellite === '' || anomaly.satellite_id === satellite) && (metric === '' || anomaly.metric === metric) &&
    (severity === '' || anomaly.severity === severity)
}

/**
 * Which limit was broken, which end of the valid range, or what the value was before; '' for a state, which is out of
 * order by itself.
 */
export function limitText ({ side, limit }: Anomaly, before = reading(limit, null)): string {
  if (side === 'change') return `was ${before}`
  if (side === 'state') return ''
  const isLow = side === 'low' || side === 'range_low'
  return `${isLow ? 'below' : 'above'} ${reading(limit, null)}${side.startsWith('range') ? ', not valid' : ''}`
}

export class AnomalyList {
  private list: Anomaly[] = []
  private readonly keys = new Set<string>()

  constructor (private readonly keptMax = ANOMALIES_KEPT) {}

  /** Newest first. */
  get all (): readonly Anomaly[] {
    return this.list
  }

  /** Adds in order of time; beyond the bound the oldest go. */
  add (anomalies: readonly Anomaly[]): void {
    const fresh = anomalies.filter((anomaly) => {
      const key = keyOf(anomaly)
      if (this.keys.has(key)) return false
      this.keys.add(key)
      return true
    })
    if (fresh.length === 0) return
    const list = [...this.list]
    // Times are parsed once, and nearly all are newer than the rest.
    for (const anomaly of fresh.toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time))) {
      const timeMs = Date.parse(anomaly.time)
      const at = list.findIndex(({ time }) => Date.parse(time) <= timeMs)
      list.splice(at === -1 ? list.length : at, 0, anomaly)
    }
    for (const gone of list.splice(this.keptMax)) this.keys.delete(keyOf(gone))
    this.list = list
  }
}
