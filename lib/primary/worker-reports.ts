/** Asks workers how they stand: a round ends when all have answered, or when those that have not are waited for no longer. */
import type { Slot, Slots } from './slots.js'

/** A worker that does not report within this time is shown with its last report. */
const REPORT_TIMEOUT_MS = 300

export class WorkerReports {
  private nextRound = 1
  /** Called with each answer, by the round. */
  private readonly rounds = new Map<number, () => void>()

  /** Resolves when the reports of the slots are as fresh as they get. */
  async collect (slots: Pick<Slots, 'all' | 'send'>): Promise<void> {
    const asked: readonly Slot[] = slots.all.filter((slot) => slot.state === 'ready')
    const round = this.nextRound++
    await new Promise<void>((resolve) => {
      let missing = asked.length
      const settle = (): void => {
        clearTimeout(timer)
        this.rounds.delete(round)
        resolve()
      }
      const timer = setTimeout(settle, REPORT_TIMEOUT_MS)
      this.rounds.set(round, () => { if (--missing === 0) settle() })
      if (missing === 0) settle()
      for (const slot of asked) slots.send(slot, { type: 'report?', id: round })
    })
  }

  /** A worker has reported in a round; one that is over, or that nobody began, is nothing to wait for. */
  received (round: number): void {
    this.rounds.get(round)?.()
  }
}
