/** Chooses the HTTP engine: uWebSockets.js where it loads, else node:http with one warning. */
import { loadUws } from './uws.js'
import { nodeEngine } from './node.js'
import type { HttpEngine } from './engine.js'

const ADVICE = 'OrbitStream serves more requests a second with it: use Node.js 20 or 22 on Linux with glibc 2.27 or ' +
  'later, or install a release of uWebSockets.js for this Node.js from github.com/uNetworking/uWebSockets.js.'

/**
 * @param preference 'auto' falls back to node:http with one warning; 'uws' rejects where uWebSockets.js does not load
 * @param load replaced by tests
 */
export async function loadEngine (
  preference: 'auto' | 'uws' | 'node',
  warn: (message: string) => void,
  load: () => Promise<HttpEngine> = loadUws
): Promise<HttpEngine> {
  if (preference === 'node') return nodeEngine
  try {
    return await load()
  } catch (cause) {
    const reason = `uWebSockets.js does not load on this machine (${firstLine(cause)}).`
    if (preference === 'uws') throw new Error(`${reason} ${ADVICE} HTTP_ENGINE=auto or node serves without it.`, { cause })
    warn(`${reason} Serving by node:http instead. ${ADVICE}`)
    return nodeEngine
  }
}

function firstLine (cause: unknown): string {
  return (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0] ?? ''
}
