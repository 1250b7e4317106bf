/** What a running program reports about itself. */
import { request } from 'undici'
import { eventually } from '../eventually.js'

export interface HealthWorker {
  readonly slot: number
  readonly pid: number
  readonly engine: string
  readonly state: string
  /** State of its drain; null before its first report. */
  readonly database: string | null
  readonly waiting: number
}

export interface Health {
  readonly status: string
  readonly reasons: readonly string[]
  readonly points: Readonly<Record<string, number>>
  readonly workers: readonly HealthWorker[]
}

const DRAINED_DEADLINE_MS = 60_000

export async function readHealth (url: string): Promise<Health> {
  const { body } = await request(`${url}/health`, { headersTimeout: 5_000, bodyTimeout: 5_000 })
  const health = await body.json() as Health
  if (!Array.isArray(health.workers)) throw new Error(`not a health report: ${JSON.stringify(health)}`)
  return health
}

export async function readyWorkers (url: string): Promise<readonly HealthWorker[]> {
  return (await readHealth(url)).workers.filter(({ state }) => state === 'ready')
}

/** Resolves once every worker is ready, connected, and has nothing waiting. Only useful when no client is sending. */
export async function drained (url: string, deadlineMs = DRAINED_DEADLINE_MS): Promise<Health> {
  let last: Health | null = null
  try {
    return await eventually('all points are stored', deadlineMs, async () => {
      last = await readHealth(url)
      const done = last.points['waiting'] === 0 && last.workers.every(({ state, database, waiting }) =>
        state === 'ready' && database === 'ready' && waiting === 0)
      return done ? last : undefined
    })
  } catch (cause) {
    throw new Error(`not drained; last health: ${JSON.stringify(last)}`, { cause })
  }
}

/** Points that the workers' counters do not account for. */
export async function conservationErrorPoints (url: string): Promise<number> {
  const { body } = await request(`${url}/metrics`)
  const match = /^orbitstream_conservation_error_points (\S+)$/m.exec(await body.text())
  if (match === null) throw new Error('no metric orbitstream_conservation_error_points')
  return Number(match[1])
}
