/** One attack after another on one server, while an honest client sends 200 requests per second. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { METRICS } from '../support/points/built-in.js'
import { drained } from '../support/programs/health.js'
import type { Owner } from '../support/owner.js'
import { ATTACKS, WITHOUT_DATABASE } from './attacks.js'
import { Target } from './target.js'

const REQUESTS_PER_SECOND = 200
/** The honest client's, on an idle machine. */
export const P99_MS_MAX = 250
const BEGIN_MS = 1_000
const BODY = JSON.stringify({ satellite_id: 'honest', [METRICS[0].name]: 50 })
/** Lets the aftermath of one attack pass before the next, mostly connections being closed. */
const SETTLE_MS = 3_000

export interface SiegeOptions {
  readonly engine: 'uws' | 'node'
  /** Duration of each attack. */
  readonly seconds: number
  readonly print: (line: string) => void
}

/** What the honest client suffered; empty if nothing. */
export async function siege (owner: Owner, { engine, seconds, print }: SiegeOptions): Promise<string[]> {
  const target = await Target.start(owner, engine)
  owner.teardown(() => { target.signalPostgres('SIGCONT') })
  const faults: string[] = []
  for (const attack of ATTACKS) {
    if (attack === WITHOUT_DATABASE) target.signalPostgres('SIGSTOP')
    const program = fileURLToPath(new URL('attacks.js', import.meta.url))
    const attacker = fork(program, [attack, target.ingest.url, String(target.udpPort)])
    await delay(BEGIN_MS)
    const { latencies, failures } = await sendHonestly(target.ingest.url, seconds)
    attacker.disconnect()
    await once(attacker, 'exit')
    if (attack === WITHOUT_DATABASE) target.signalPostgres('SIGCONT')
    await drained(target.ingest.url)
    await delay(SETTLE_MS)
    const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? Infinity
    const p50 = latencies[latencies.length >> 1] ?? NaN
    const name = `${engine}, ${attack}`
    print(`${name}: p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${failures.length} failed`)
    const [failure] = failures
    if (failure !== undefined) faults.push(`${name}: ${failures.length} honest requests failed, first: ${failure}`)
    if (p99 > P99_MS_MAX) faults.push(`${name}: p99 ${p99.toFixed(0)} ms of ${P99_MS_MAX}`)
    faults.push(...target.deaths())
  }
  print(`${engine}: ${Math.round(target.residentBytes() / 1024 / 1024)} MB at most`)
  return faults
}

async function sendHonestly (url: string, seconds: number): Promise<{ latencies: number[], failures: string[] }> {
  const pool = new Pool(url, { connections: 50 })
  const latencies: number[] = []
  const failures: string[] = []
  const send = async (): Promise<void> => {
    const startedMs = performance.now()
    try {
      const { statusCode, body } = await pool.request({ method: 'POST', path: '/telemetry', body: BODY })
      const text = await body.text()
      if (statusCode === 202) latencies.push(performance.now() - startedMs)
      else failures.push(`${statusCode}: ${text}`)
    } catch (error) {
      failures.push(String(error))
    }
  }
  const all: Array<Promise<void>> = []
  const startMs = performance.now()
  for (let sent = 0; sent < seconds * REQUESTS_PER_SECOND; sent++) {
    const restMs = startMs + sent * 1_000 / REQUESTS_PER_SECOND - performance.now()
    if (restMs > 0) await delay(restMs)
    all.push(send())
  }
  await Promise.all(all)
  await pool.close()
  return { latencies: latencies.sort((a, b) => a - b), failures }
}
