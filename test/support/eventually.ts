/** Waiting with a deadline, where the error says what was being waited for. */
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 50

/** Polls until the answer is neither undefined nor an error; rejects with the last error after the deadline. */
export async function eventually<T> (
  what: string, deadlineMs: number, ask: () => Promise<T | undefined>, pollMs = POLL_MS
): Promise<T> {
  const endMs = performance.now() + deadlineMs
  let cause: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
    } catch (error) {
      cause = error
    }
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what}`, { cause })
    await delay(pollMs)
  }
}

/** The promise, or a rejection that says what was being waited for. */
export async function within<T> (what: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadlineMs} ms: ${what}`)), deadlineMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
