/**
 * Answers /health and /metrics in the primary, for all workers. Any client may ask, and each answer needs a report from
 * every worker: rounds of reports are shared, so a flood of requests causes only a few of them per second.
 */
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { SharedRound } from '../../support/shared-round.js'

/** Age of reports that may be reused, and of an answer built from them; an answer is at most twice as old. */
const STATUS_AGE_MS_MAX = 200

export interface StatusServiceParts {
  /** Requests a report from every worker. */
  readonly collect: () => Promise<void>
  /** Built from the latest reports. */
  readonly health: () => StatusAnswer
  readonly metrics: () => Promise<StatusAnswer>
}

export class StatusService {
  private readonly reports: SharedRound<void>
  private readonly answers: Readonly<Record<'health' | 'metrics', SharedRound<StatusAnswer>>>

  constructor (parts: StatusServiceParts) {
    this.reports = new SharedRound(parts.collect, STATUS_AGE_MS_MAX)
    const shared = (build: () => StatusAnswer | Promise<StatusAnswer>): SharedRound<StatusAnswer> =>
      new SharedRound(async () => {
        await this.reports.get()
        return await build()
      }, STATUS_AGE_MS_MAX)
    this.answers = { health: shared(parts.health), metrics: shared(parts.metrics) }
  }

  async answer (question: 'health' | 'metrics'): Promise<StatusAnswer> {
    return await this.answers[question].get()
  }

  /** Resolves when the reports are at most STATUS_AGE_MS_MAX old. */
  async refresh (): Promise<void> {
    await this.reports.get()
  }
}
