/** Waiting for what no event tells, with a deadline that says what was waited for. */
import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 50

/** Asks again and again until the answer is neither undefined nor a failure; rejects after the deadline with the last failure. */
export async function eventually<T> (what: string, deadlineMs: number, ask: () => Promise<T | undefined>): Promise<T> {
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
    await delay(POLL_MS)
  }
}

/** The promise, or a rejection that says what was waited for. */
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
