/**
 * Answers /health and /metrics in the primary, for all workers. Anybody may ask, and each answer needs word of every
 * process: so rounds are shared, and nobody can have more than a few of them a second.
 */
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { SharedRound } from '../../support/shared-round.js'

/** Reports of workers serve for so long, and so does an answer made of them: together it is at most twice as old. */
const STATUS_AGE_MS_MAX = 200

export interface StatusDeskParts {
  /** Asks all workers for a report. */
  readonly collect: () => Promise<void>
  /** Of the reports that there are. */
  readonly health: () => StatusAnswer
  readonly metrics: () => Promise<StatusAnswer>
}

export class StatusDesk {
  private readonly reports: SharedRound<void>
  private readonly answers: Readonly<Record<'health' | 'metrics', SharedRound<StatusAnswer>>>

  constructor (parts: StatusDeskParts) {
    this.reports = new SharedRound(parts.collect, STATUS_AGE_MS_MAX)
    const answering = (make: () => StatusAnswer | Promise<StatusAnswer>): SharedRound<StatusAnswer> => new SharedRound(async () => {
      await this.reports.get()
      return await make()
    }, STATUS_AGE_MS_MAX)
    this.answers = { health: answering(parts.health), metrics: answering(parts.metrics) }
  }

  async answer (question: 'health' | 'metrics'): Promise<StatusAnswer> {
    return await this.answers[question].get()
  }

  /** Resolves when there are reports of this moment, as old as they may be. */
  async refresh (): Promise<void> {
    await this.reports.get()
  }
}
