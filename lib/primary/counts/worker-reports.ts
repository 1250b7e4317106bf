/** Collects reports in rounds: a round ends when every worker has reported, or after a timeout. */
import type { Slot, Slots } from '../slots.js'

/** A worker that takes longer is shown with its previous report. */
const REPORT_TIMEOUT_MS = 300

export class WorkerReports {
  private nextRound = 1
  /** Called with each report, by round. */
  private readonly rounds = new Map<number, () => void>()

  /** Resolves when the slots have the most recent reports to be had. */
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

  /** Counts a report towards its round; ignored if that is over, or for LAST_REPORT. */
  received (round: number): void {
    this.rounds.get(round)?.()
  }
}
