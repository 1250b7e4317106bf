/**
 * Chooses the HTTP engine: uWebSockets.js where a binary loads that serves safely, else node:http. What the one that was
 * chosen cannot do is said once, with the ways out.
 */
import { loadUws } from './uws.js'
import { nodeEngine } from './node.js'
import { checkEngine } from './self-check/check.js'
import type { HttpEngine } from './engine.js'
import type { EngineFindings } from './self-check/check.js'

export interface EngineChoice {
  readonly name: HttpEngine['name']
  /** Package and version. */
  readonly release: string
  /** Cases of safety that it fails, in words: none, unless HTTP_ENGINE asks for it all the same. */
  readonly unsafe: readonly string[]
  /** What clients may need and this engine cannot do, in words. */
  readonly cannot: readonly string[]
  /** What helps those clients; null where nothing has to. */
  readonly advice: string | null
}

export interface ChoiceParts {
  readonly info: (message: string) => void
  readonly warn: (message: string) => void
  /** Replaced by tests. */
  readonly load?: () => Promise<HttpEngine>
  readonly check?: (engine: HttpEngine) => Promise<EngineFindings>
}

const NODE_CHOICE: EngineChoice = { name: 'node', release: nodeEngine.release, unsafe: [], cannot: [], advice: null }
const ANOTHER_RELEASE = 'another release of uWebSockets.js (`npm install uNetworking/uWebSockets.js#<tag>`)'
const WAYS_OUT = `set HTTP_ENGINE=node, which has all, or install ${ANOTHER_RELEASE}`
const FALLBACK = 'node:http serves instead, with fewer single points a second. For more, use Node.js 20 or 22 on Linux with ' +
  `glibc 2.27 or later, or install ${ANOTHER_RELEASE}.`

/** @throws what the import of uWebSockets.js throws */
export async function loadEngine (name: HttpEngine['name']): Promise<HttpEngine> {
  return name === 'uws' ? await loadUws() : nodeEngine
}

/** @param preference 'auto' falls back to node:http with one warning; 'uws' rejects where that does not serve at all */
export async function chooseEngine (preference: 'auto' | HttpEngine['name'], parts: ChoiceParts): Promise<EngineChoice> {
  if (preference === 'node') return NODE_CHOICE
  const { load = loadUws, check = checkEngine, info, warn } = parts
  try {
    const choice = await inspect(load, check)
    const { release, unsafe, cannot } = choice
    if (unsafe.length > 0 && preference === 'auto') {
      warn(`${release} may serve requests that are hidden in others (${unsafe.join(', ')}). ${FALLBACK}`)
      return NODE_CHOICE
    }
    if (unsafe.length > 0) warn(`${release} may serve requests that are hidden in others (${unsafe.join(', ')}), and serves all the same, as HTTP_ENGINE=uws asks for.`)
    if (cannot.length > 0) info(`${release} serves HTTP, but not: ${cannot.join(', ')}. Where a client needs one of these, ${WAYS_OUT}.`)
    return choice
  } catch (cause) {
    const reason = `uWebSockets.js does not run on this machine (${reasonOf(cause)}).`
    if (preference === 'uws') throw new Error(`${reason} HTTP_ENGINE=auto or node serves without it.`, { cause })
    warn(`${reason} ${FALLBACK}`)
    return NODE_CHOICE
  }
}

async function inspect (load: () => Promise<HttpEngine>, check: (engine: HttpEngine) => Promise<EngineFindings>): Promise<EngineChoice> {
  const engine = await load()
  const { unsafe, cannot } = await check(engine)
  return { name: engine.name, release: engine.release, unsafe, cannot, advice: unsafe.length + cannot.length > 0 ? WAYS_OUT : null }
}

/** The loader of uWebSockets.js puts what the system said behind a story of its own. */
function reasonOf (cause: unknown): string {
  const lines = (cause instanceof Error ? cause.message : String(cause)).split('\n')
  return (lines.find((line) => line.startsWith('Error: ')) ?? lines[0] ?? '').replace(/^Error: /, '')
}
