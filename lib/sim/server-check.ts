/** Waits for the server: a simulator is often started a moment before it. */
import { setTimeout as wait } from 'node:timers/promises'
import { request } from 'undici'
import { codeOf } from './send/http-transport.js'

const PAUSE_MS = 100
const STARTING_STATUS = 503

/**
 * Asks /health until the server answers, for at most `timeoutMs`.
 *
 * A server that says 503 (starting, or not healthy) is waited for too, and is taken as there when the time is up: its answers to
 * points say more.
 *
 * @returns null if it is there, else the code of the last error
 */
export async function waitForServer (url: URL, timeoutMs: number, stop: AbortSignal): Promise<string | null> {
  const deadlineMs = performance.now() + timeoutMs
  for (;;) {
    const leftMs = Math.max(1, Math.ceil(deadlineMs - performance.now()))
    const found = await ask(url, leftMs)
    if (found === 'there' || stop.aborted) return null
    if (performance.now() + PAUSE_MS >= deadlineMs) return found === 'starting' ? null : found.error
    await wait(PAUSE_MS)
  }
}

async function ask (url: URL, timeoutMs: number): Promise<'there' | 'starting' | { readonly error: string }> {
  try {
    const answer = await request(url.origin + url.pathname.replace(/\/+$/, '') + '/health', { signal: AbortSignal.timeout(timeoutMs) })
    await answer.body.dump()
    return answer.statusCode === STARTING_STATUS ? 'starting' : 'there'
  } catch (error) {
    return { error: error instanceof Error ? codeOf(error) : String(error) }
  }
}
