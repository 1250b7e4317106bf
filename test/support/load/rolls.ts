/**
 * Rolling restarts and reloads under full load: simulators send single points over HTTP and packets over UDP while the
 * server's workers are replaced and its files read, again and again. Every point must be accepted, and stored once.
 */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Summary } from '../../../lib/sim/summary.js'
import { connect } from '../../../lib/database/connection.js'
import { conservationErrorPoints, drained } from '../programs/health.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, temporaryDirectory } from '../database/postgres.js'
import { startIngest, startProgram, type Program } from '../programs/program.js'

const SATELLITES = 100
const UDP_POINTS_PER_SECOND = 1_000
/** Under load before, between and after the restarts. */
const PAUSE_MS = 2_000

export interface RollsOptions {
  readonly rolls: number
  /** Single points over HTTP. */
  readonly requestsPerSecond: number
  readonly engine: 'uws' | 'node'
  readonly print: (line: string) => void
}

export interface RollsVerdict {
  readonly http: Summary
  readonly udp: Summary
  /** Rows of telemetry. */
  readonly stored: number
  readonly conservationErrorPoints: number
  /** What is wrong: sentences. */
  readonly faults: readonly string[]
}

export async function runRolls (owner: Owner, options: RollsOptions): Promise<RollsVerdict> {
  const { rolls, requestsPerSecond, engine, print } = options
  const postgres = await startTestPostgres(owner, { fsync: true })
  const dataDir = await temporaryDirectory(owner)
  // A file to reload. No sender has its key.
  const keys = join(dataDir, 'udp-keys.json')
  await writeFile(keys, JSON.stringify({ keys: [{ id: 'rolls', secret: randomBytes(32).toString('base64') }] }), {
    mode: 0o600
  })
  const args = ['--http-engine', engine, '--udp-keys-file', keys, '--udp-open', 'on']
  const { url, udpPorts, program } = await startIngest(owner, {
    dataDir, databaseUrl: postgres.url, udpPort: '0', args
  })
  const simulate = (pointsPerSecond: number, ...more: readonly string[]): Program => {
    const rate = String(pointsPerSecond / SATELLITES)
    const common = ['--api-url', url, '-s', String(SATELLITES), '-r', rate, '-d', '0', '--json']
    return startProgram(owner, 'orbitstream-sim', [...common, ...more])
  }
  const http = simulate(requestsPerSecond)
  const udp = simulate(UDP_POINTS_PER_SECOND, '--transport', 'udp', '--udp-url', `udp://127.0.0.1:${udpPorts[0] ?? 0}`)
  const faults: string[] = []
  await pause()
  for (let roll = 1; roll <= rolls; roll++) {
    const startMs = performance.now()
    const restart = startProgram(owner, 'orbitstream-ingest', ['restart', '--rolling', '--data-dir', dataDir])
    if (await restart.exit !== 0) faults.push(`restart ${roll}: ${restart.stderr}`)
    print(`restart ${roll} of ${rolls} took ${Math.round(performance.now() - startMs)} ms`)
    await pause()
    const reload = startProgram(owner, 'orbitstream-ingest', ['reload', '--data-dir', dataDir, '--udp-keys-file', keys])
    if (await reload.exit !== 0) faults.push(`reload ${roll}: ${reload.stderr}`)
  }
  await Promise.all([http, udp].map(async (simulator) => await simulator.stop('SIGINT')))
  const [overHttp, overUdp] = [summaryOf(http), summaryOf(udp)]
  await drained(url)
  const errorPoints = await conservationErrorPoints(url)
  const errors = program.lines.filter(({ level }) => level === 'error')
  faults.push(...errors.map(({ msg }) => `the log says: ${String(msg)}`))
  await program.stop()
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  try {
    const { rows } = await db.query<{ stored: number }>('SELECT count(*)::int AS stored FROM telemetry')
    const stored = rows[0]?.stored ?? 0
    return { http: overHttp, udp: overUdp, stored, conservationErrorPoints: errorPoints, faults }
  } finally {
    await db.close()
  }
}

async function pause (): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
}

function summaryOf ({ stdout, stderr }: Program): Summary {
  try {
    return JSON.parse(stdout) as Summary
  } catch (cause) {
    throw new Error(`no summary: ${stderr}`, { cause })
  }
}
