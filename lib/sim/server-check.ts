/** Waits for the server: a simulator is often started a moment earlier. */
import { setTimeout as wait } from 'node:timers/promises'
import { askApi } from './send/api-request.js'
import { apiBase } from './send/bearer.js'
import { codeOf } from './send/http-transport.js'

const PAUSE_MS = 100
const STARTING_STATUS = 503
const OUT_OF_TIME = 'TimeoutError'

/**
 * Polls /health until the server answers, for at most `timeoutMs`.
 *
 * A 503 (starting, or unhealthy) is waited for too, but counts as present when the time is up: the server's responses
 * to points are more informative.
 *
 * @returns null if the server is there, otherwise the code of an error
 */
export async function waitForServer (url: URL, timeoutMs: number, stop: AbortSignal): Promise<string | null> {
  const deadlineMs = performance.now() + timeoutMs
  let answered = false
  let cause = ''
  for (;;) {
    const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()))
    const found = await ask(url, leftMs)
    if (found === 'there' || stop.aborted) return null
    if (found === 'starting') answered = true
    // The last attempt may have had little time: what an earlier one met says more.
    else if (cause === '' || found.error !== OUT_OF_TIME) cause = found.error
    if (performance.now() + PAUSE_MS >= deadlineMs) return answered ? null : cause
    await wait(PAUSE_MS)
  }
}

async function ask (url: URL, timeoutMs: number): Promise<'there' | 'starting' | { readonly error: string }> {
  try {
    const { status } = await askApi(`${apiBase(url)}/health`, timeoutMs)
    return status === STARTING_STATUS ? 'starting' : 'there'
  } catch (error) {
    return { error: codeOf(error) }
  }
}
