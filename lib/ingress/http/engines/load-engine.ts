/**
 * Chooses the HTTP engine: uWebSockets.js if a binary that serves safely loads, otherwise node:http. Reports once what
 * the chosen engine cannot do, and the alternatives.
 */
import { loadUws } from './uws/uws.js'
import { nodeEngine } from './node/node.js'
import { checkEngine } from './self-check/engine-check.js'
import type { HttpEngine, ServerTls } from './engine.js'
import type { EngineFindings } from './self-check/engine-check.js'

export interface EngineChoice {
  readonly name: HttpEngine['name']
  /** Package and version. */
  readonly release: string
  /** Names of the safety cases it fails. Empty, unless HTTP_ENGINE forces the engine. */
  readonly unsafe: readonly string[]
  /** Names of the abilities it lacks, which clients may need. */
  readonly cannot: readonly string[]
  /** How to get them; null if none is missing. */
  readonly advice: string | null
}

export interface ChoiceParts {
  /** Must be usable; null: plain HTTP. */
  readonly tls: ServerTls | null
  /** The connections of each address are bounded. uWebSockets.js does not say whose connection was closed. */
  readonly boundsAddresses?: boolean
  readonly info: (message: string) => void
  readonly warn: (message: string) => void
  /** Replaced in tests. */
  readonly load?: () => Promise<HttpEngine>
  readonly check?: (engine: HttpEngine) => Promise<EngineFindings>
}

const NODE_CHOICE: EngineChoice = { name: 'node', release: nodeEngine.release, unsafe: [], cannot: [], advice: null }
const ANOTHER_RELEASE = 'another release of uWebSockets.js (`npm install uNetworking/uWebSockets.js#<tag>`)'
const ADVICE = `set HTTP_ENGINE=node, which supports them all, or install ${ANOTHER_RELEASE}`
const FALLBACK = 'Falling back to node:http, which handles fewer single points per second. ' +
  `For more, use Node.js 20 or 22 on Linux with glibc 2.27 or later, or install ${ANOTHER_RELEASE}.`

/** @throws whatever the import of uWebSockets.js throws */
export async function loadEngine (name: HttpEngine['name']): Promise<HttpEngine> {
  return name === 'uws' ? await loadUws() : nodeEngine
}

/** @param preference 'auto' falls back to node:http with a warning; 'uws' rejects if that cannot run at all */
export async function chooseEngine (
  preference: 'auto' | HttpEngine['name'], parts: ChoiceParts
): Promise<EngineChoice> {
  if (preference === 'node') return NODE_CHOICE
  const { tls, boundsAddresses = false, load = loadUws, check = checkEngine, info, warn } = parts
  if (boundsAddresses) {
    info('CLIENT_CONNECTIONS is set, which uWebSockets.js cannot apply: using node:http.')
    return NODE_CHOICE
  }
  try {
    const engine = await load()
    const obstacle = tls === null ? null : obstacleTo(engine, tls)
    if (obstacle !== null) {
      const reason = `uWebSockets.js cannot be used with this certificate (${obstacle})`
      if (preference === 'uws') throw new TlsError(`${reason}. Set HTTP_ENGINE to auto or node.`)
      info(`${reason}: using node:http.`)
      return NODE_CHOICE
    }
    const choice = await inspect(engine, check)
    const { release, unsafe, cannot } = choice
    const smuggling = `${release} is open to request smuggling (${unsafe.join(', ')})`
    if (unsafe.length > 0 && preference === 'auto') {
      warn(`${smuggling}. ${FALLBACK}`)
      return NODE_CHOICE
    }
    if (unsafe.length > 0) warn(`${smuggling}, but is used because of HTTP_ENGINE=uws.`)
    if (cannot.length > 0) info(`${release} does not support ${cannot.join(', ')}. If a client needs these, ${ADVICE}.`)
    return choice
  } catch (cause) {
    if (cause instanceof TlsError) throw cause
    const reason = `uWebSockets.js does not run on this machine (${reasonOf(cause)}).`
    if (preference === 'uws') throw new Error(`${reason} Set HTTP_ENGINE to auto or node to run without it.`, { cause })
    warn(`${reason} ${FALLBACK}`)
    return NODE_CHOICE
  }
}

class TlsError extends Error {}

/** Why the engine cannot use the certificate; null if it can. */
function obstacleTo (engine: HttpEngine, tls: ServerTls): string | null {
  try {
    engine.checkTls(tls)
    return null
  } catch (error) {
    return (error as Error).message
  }
}

async function inspect (
  engine: HttpEngine, check: (engine: HttpEngine) => Promise<EngineFindings>
): Promise<EngineChoice> {
  const { unsafe, cannot } = await check(engine)
  const advice = unsafe.length + cannot.length > 0 ? ADVICE : null
  return { name: engine.name, release: engine.release, unsafe, cannot, advice }
}

/** The loader of uWebSockets.js puts the system's error after a lengthy text of its own. */
function reasonOf (cause: unknown): string {
  const lines = (cause instanceof Error ? cause.message : String(cause)).split('\n')
  return (lines.find((line) => line.startsWith('Error: ')) ?? lines[0] ?? '').replace(/^Error: /, '')
}
