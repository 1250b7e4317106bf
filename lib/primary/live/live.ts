/** The live feed in the primary: what is gathered, and what is known without asking. */
import type { Stream } from '../../../protocol/catalogue.js'
import type { Config } from '../../config/settings.js'
import type { FeedTick } from '../../ingress/http/live/feed.js'
import type { MetricsJson } from '../../messages/messages.js'
import type { GatherWant } from '../../worker/newest-points.js'
import type { WorkerSources } from '../answers/health.js'
import { problemsOf, type HostConditions } from '../answers/problems.js'
import { Totals } from '../counts/metric-totals.js'
import type { Slot } from '../slots.js'
import { FeedHub } from './feed-hub.js'
import { acceptedPoints, fleetSummary } from './fleet-summary.js'
import { ProblemLog } from './problem-log.js'
import { Throughput } from './throughput.js'

export interface LiveParts {
  readonly run: string
  readonly version: string
  readonly streams: readonly Stream[]
  readonly config: Config
  readonly databaseKind: string
  readonly workers: () => WorkerSources
  readonly conditions: () => HostConditions
  readonly ask: (slot: Slot, want: GatherWant | null) => void
  readonly send: (slot: Slot, tick: FeedTick, onSent: () => void) => void
}

export class Live {
  readonly hub: FeedHub<Slot>
  private readonly problems = new ProblemLog()
  private readonly throughput = new Throughput()

  constructor (private readonly parts: LiveParts) {
    const { throughput } = this
    this.hub = new FeedHub({
      ...parts,
      ready: () => parts.workers().slots.filter(({ state }) => state === 'ready'),
      state: () => {
        this.updateProblems()
        return { problems: this.problems.current, limitsVersion: parts.workers().limits.version }
      },
      fleet: (timeMs) => fleetSummary({ ...parts, workers: parts.workers(), throughput }, timeMs, performance.now())
    })
  }

  /** Takes the current metrics, once a second: rates and problems have a past when the first client comes. */
  sample (metrics: MetricsJson): void {
    this.throughput.add(performance.now(), acceptedPoints(this.parts.workers()), new Totals(metrics))
    this.updateProblems()
  }

  private updateProblems (): void {
    const { parts: { databaseKind, conditions, workers }, problems } = this
    const { slots, limits: { complaint } } = workers()
    // The feed is served once the start is over.
    const sources = { slots, databaseKind, ...conditions(), waitsFor: null, limits: complaint }
    problems.update(problemsOf(sources), Date.now())
  }
}
