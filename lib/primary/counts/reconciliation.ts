/** Checks that the workers' point counters add up: every point received is somewhere, and is counted once. */
import type { Log } from '../../support/log.js'
import { conservationError } from '../../pipeline/pipeline.js'
import type { WorkerReport } from '../../messages/messages.js'

export class Reconciliation {
  /** Points that the latest reports leave unexplained, over all workers. */
  get errorPoints (): number {
    let sum = 0
    for (const points of this.errors.values()) sum += points
    return sum
  }

  /** By slot. */
  private readonly errors = new Map<number, number>()

  constructor (private readonly log: Log) {}

  /** Logs when the counters of a worker stop adding up, and when they do again. */
  check (report: WorkerReport): void {
    const { slot, points, waiting } = report
    const error = conservationError(points, waiting)
    const before = this.errors.get(slot) ?? 0
    this.errors.set(slot, error)
    if (error !== 0 && before === 0) {
      this.log.error({ slot, error, points, waiting },
        'the counters of a worker do not add up: points were lost or counted twice; please report this with the log')
    } else if (error === 0 && before !== 0) {
      this.log.info({ slot }, 'the counters of a worker add up again')
    }
  }
}
