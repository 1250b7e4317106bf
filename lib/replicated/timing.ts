/** Time, as a seam: tests replace it, so that a seed repeats a history. */
import { setTimeout as sleep } from 'node:timers/promises'

export interface Timing {
  pause (milliseconds: number): Promise<void>
  /** Milliseconds on a monotonic clock. */
  nowMs (): number
}

export const realTiming: Timing = {
  pause: async (milliseconds) => { await sleep(milliseconds) },
  nowMs: () => performance.now()
}
