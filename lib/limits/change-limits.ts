/** One version of the limits on change, compiled for the drain. */
import type { Stream } from '../../protocol/catalogue.js'
import { SEVERITIES, type ChangeLimit, type NumberedLimits, type Severity } from './limit-set.js'
import { LimitResolver } from './resolver.js'

/** What a change of a value is; null: in order. */
export interface ChangeRule {
  readonly increase: Severity | null
  readonly decrease: Severity | null
}

/** Any client may send new satellites; those that still send are looked up again. */
const SATELLITES_MAX = 100_000
/** Rules of all known satellites together. */
const RULES_MAX = 1_000_000

/** Metrics of a stream, each with a limit on change for some satellite. */
export class WatchedMetrics {
  /** Indexes in the schema, ascending. */
  readonly indexes: readonly number[]
  /** As limits name them. */
  readonly names: readonly string[]
  private readonly resolver: LimitResolver
  private readonly chosen: number[]
  private readonly rules = new Map<string, ReadonlyArray<ChangeRule | null> | null>()
  private readonly satellitesMax: number

  constructor ({ set }: NumberedLimits, stream: Stream) {
    const all = stream.schema.metrics.map((metric) => stream.qualify(metric))
    const entries = [set.default, ...Object.values(set.overrides)]
    this.indexes = all.flatMap((name, index) => (
      entries.some((limits) => Object.hasOwn(limits, name) && limits[name]?.change !== undefined) ? [index] : []))
    this.names = this.indexes.map((index) => all[index] as string)
    this.resolver = new LimitResolver(set, this.names)
    this.chosen = new Array<number>(this.names.length).fill(0)
    this.satellitesMax = Math.min(SATELLITES_MAX, Math.ceil(RULES_MAX / Math.max(1, this.names.length)))
  }

  /** In the order of `names`; null: the satellite has none. */
  rulesOf (satellite: string): ReadonlyArray<ChangeRule | null> | null {
    let rules = this.rules.get(satellite)
    if (rules === undefined) {
      rules = this.resolve(satellite)
      if (this.rules.size >= this.satellitesMax) this.rules.clear()
      this.rules.set(satellite, rules)
    }
    return rules
  }

  private resolve (satellite: string): ReadonlyArray<ChangeRule | null> | null {
    this.resolver.resolve(satellite, this.chosen)
    const rules = this.chosen.map((entry, metric) => {
      const change = this.resolver.entries[entry]?.get(metric)?.change
      return change === undefined ? null : ruleOf(change)
    })
    return rules.every((rule) => rule === null) ? null : rules
  }
}

export class ChangeLimits {
  readonly version: number
  private readonly byStream: ReadonlyMap<Stream, WatchedMetrics>

  constructor (limits: NumberedLimits, streams: readonly Stream[]) {
    this.version = limits.version
    this.byStream = new Map(streams.map((stream) => [stream, new WatchedMetrics(limits, stream)] as const)
      .filter(([, { names }]) => names.length > 0))
  }

  /** Null: the stream has no limit on change. */
  of (stream: Stream): WatchedMetrics | null {
    return this.byStream.get(stream) ?? null
  }

  /** Null: no stream has one. */
  get orNull (): this | null {
    return this.byStream.size === 0 ? null : this
  }
}

function ruleOf (change: ChangeLimit): ChangeRule {
  const worst = (direction: 'increase' | 'decrease'): Severity | null => SEVERITIES.findLast(
    (severity) => change[severity] === 'any' || change[severity] === direction) ?? null
  return { increase: worst('increase'), decrease: worst('decrease') }
}
