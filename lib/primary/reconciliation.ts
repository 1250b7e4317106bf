/** Holds the workers to the conservation of points: every one that came in is somewhere, and counted once. */
import type { Log } from '../support/log.js'
import { conservationError } from '../pipeline/pipeline.js'
import type { WorkerReport } from '../messages/messages.js'

export class Conservation {
  /** Points that the newest reports do not explain, all workers together. */
  get errorPoints (): number {
    let sum = 0
    for (const points of this.errors.values()) sum += points
    return sum
  }

  /** By slot. */
  private readonly errors = new Map<number, number>()

  constructor (private readonly log: Log) {}

  /** Shouts when the numbers of a worker stop adding up, and again when they do. */
  check (report: WorkerReport): void {
    const { slot, points, waiting } = report
    const error = conservationError(points, waiting)
    const before = this.errors.get(slot) ?? 0
    this.errors.set(slot, error)
    if (error !== 0 && before === 0) {
      this.log.error({ slot, error, points, waiting }, 'the counters of a worker do not add up: points were lost or counted twice; please report this with the log')
    } else if (error === 0 && before !== 0) {
      this.log.info({ slot }, 'the counters of a worker add up again')
    }
  }
}
