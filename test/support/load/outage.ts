/**
 * A database outage while points keep coming at a given rate: all are accepted, memory stays bounded, and when the
 * database is back the backlog is stored while new points keep coming.
 */
import { readFile } from 'node:fs/promises'
import { connect } from '../../../lib/database/connection.js'
import { eventually } from '../eventually.js'
import { conservationErrorPoints, drained, readHealth } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import type { Owner } from '../owner.js'
import { findNatsServer, NatsCluster, NO_NATS_SERVER } from '../deploy/nats-cluster.js'
import { startTestPostgres, temporaryDirectory } from '../database/postgres.js'
import { startIngest } from '../programs/program.js'

const POINTS_PER_REQUEST = 50
const SAMPLE_MS = 500
const PRINT_MS = 30_000
/** Points in flight at the given rate: not a backlog. */
const CAUGHT_UP_SECONDS = 0.5
const WARM_UP_SECONDS = 1

export interface OutageOptions {
  readonly outageMs: number
  readonly pointsPerSecond: number
  /** With a replicated log of three servers in place of the spool. */
  readonly isReplicated: boolean
  readonly print: (line: string) => void
}

export interface OutageVerdict extends Verdict {
  readonly acknowledged: number
  /** Requests that were not acknowledged, by cause. */
  readonly failures: Readonly<Record<string, number>>
  /** From the database's return until the backlog was gone. */
  readonly drainMs: number
  /** Points acknowledged in the meantime. */
  readonly acknowledgedWhileDraining: number
  /** Largest resident memory of any one process, before the outage and overall. */
  readonly residentBytesBefore: number
  readonly residentBytesMost: number
  readonly conservationErrorPoints: number
}

export async function runOutage (owner: Owner, options: OutageOptions): Promise<OutageVerdict> {
  const { outageMs, pointsPerSecond, isReplicated, print } = options
  const postgres = await startTestPostgres(owner, { fsync: true })
  const dataDir = await temporaryDirectory(owner)
  const place = isReplicated ? ['--spool-dir', await startLog(owner)] : []
  const ingest = await startIngest(owner, { dataDir, databaseUrl: postgres.url, args: ['--workers', '2', ...place] })
  const client = new JournalClient({ url: ingest.url, pointsPerRequest: POINTS_PER_REQUEST })
  const pids = [ingest.program.pid, ...(await readHealth(ingest.url)).workers.map(({ pid }) => pid)]
  client.start(pointsPerSecond)
  await client.acknowledgedMore(pointsPerSecond * WARM_UP_SECONDS)
  const residentBytesBefore = await residentBytes(pids)
  await postgres.kill()
  const residentBytesMost = await watchOutage(outageMs, pids, (bytes) => {
    print(`away: ${client.acknowledged.size} points acknowledged, largest process ${megabytes(bytes)}`)
  })
  await postgres.start()
  const backMs = performance.now()
  const acknowledgedBefore = client.acknowledged.size
  await eventually('the backlog is stored', 60_000 + outageMs, async () => {
    const { points, workers } = await readHealth(ingest.url)
    const isBehind = (points['waiting'] ?? 0) >= pointsPerSecond * CAUGHT_UP_SECONDS
    return workers.every(({ database }) => database === 'ready') && !isBehind ? true : undefined
  })
  const drainMs = performance.now() - backMs
  const acknowledgedWhileDraining = client.acknowledged.size - acknowledgedBefore
  const residentBytesAfter = await residentBytes(pids)
  await client.stop()
  await drained(ingest.url)
  const errorPoints = await conservationErrorPoints(ingest.url)
  await ingest.program.stop()
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  try {
    return {
      ...await compareWithDatabase(db, [client]),
      acknowledged: client.acknowledged.size,
      failures: Object.fromEntries(client.failures),
      drainMs,
      acknowledgedWhileDraining,
      residentBytesBefore,
      residentBytesMost: Math.max(residentBytesMost, residentBytesAfter),
      conservationErrorPoints: errorPoints
    }
  } finally {
    await db.close()
  }
}

/** Its SPOOL_DIR. */
async function startLog (owner: Owner): Promise<string> {
  const program = await findNatsServer()
  if (program === null) throw new Error(NO_NATS_SERVER)
  const cluster = await NatsCluster.start(program)
  owner.teardown(async () => { await cluster.stop() })
  return cluster.url
}

/** The largest resident memory of any one process during this time. */
async function watchOutage (
  outageMs: number, pids: readonly number[], print: (bytes: number) => void
): Promise<number> {
  const endMs = performance.now() + outageMs
  let printMs = performance.now() + PRINT_MS
  let most = 0
  while (performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(SAMPLE_MS, endMs - performance.now())))
    const bytes = await residentBytes(pids)
    most = Math.max(most, bytes)
    if (performance.now() < printMs) continue
    printMs += PRINT_MS
    print(bytes)
  }
  return most
}

/** Of the largest process. Throws if any has exited: none may. */
async function residentBytes (pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all(pids.map(async (pid) => {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
    return Number(match?.[1]) * 1024
  }))
  return Math.max(...sizes)
}

export function megabytes (bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MB`
}
