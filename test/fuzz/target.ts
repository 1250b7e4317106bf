/** A real server of one worker of each kind, and what it costs it to be fuzzed: processor time and memory, as the system accounts them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { request } from 'undici'
import type { LimitSet } from '../../lib/limits/limit-set.js'
import { METRICS } from '../../protocol/metrics.js'
import { readHealth } from '../support/health.js'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/postgres.js'
import { startIngest, type Ingest } from '../support/program.js'

/** A process at rest takes some 90 MB; what it may grow to whatever it is sent. */
export const RESIDENT_BYTES_MAX = 500 * 1024 * 1024
const QUEUE_LOOK_MS = 2

export class Target {
  /** The primary's, then the workers'. */
  private pids: readonly number[] = []

  private constructor (readonly ingest: Ingest, readonly postgres: TestPostgres) {}

  static async start (owner: Owner, engine: 'uws' | 'node'): Promise<Target> {
    const postgres = await startTestPostgres(owner)
    const ingest = await startIngest(owner, {
      dataDir: await temporaryDirectory(owner),
      databaseUrl: postgres.url,
      udpPort: '0',
      args: ['--workers', '1'],
      // One of them takes what the other refuses: both ways of a decoder are tried.
      env: { HTTP_ENGINE: engine, UNKNOWN_FIELDS: engine === 'node' ? 'ignore' : 'reject' }
    })
    const target = new Target(ingest, postgres)
    target.pids = [ingest.program.pid, ...(await readHealth(ingest.url)).workers.map(({ pid }) => pid)]
    return target
  }

  get port (): number {
    return Number(new URL(this.ingest.url).port)
  }

  get udpPort (): number {
    return this.ingest.udpPorts[0] ?? NaN
  }

  /** Processes of the first hour that are no more: none, in a good run. */
  deaths (): string[] {
    return this.pids.flatMap((pid, at) => existsSync(`/proc/${pid}/cwd`) ? [] : [`${at === 0 ? 'the primary' : `worker ${at - 1}`} died: ${this.ingest.program.lines.slice(-3).map((line) => JSON.stringify(line)).join('\n')}`])
  }

  /** Processor time of primary and workers, all threads of them, in milliseconds. */
  cpuMs (): number {
    let nanoseconds = 0
    for (const pid of this.pids) {
      for (const task of readdirSync(`/proc/${pid}/task`)) nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
    }
    return nanoseconds / 1e6
  }

  residentBytes (): number {
    return Math.max(...this.pids.map((pid) => Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024))
  }

  /** To all processes of the database: stopped ones keep their connections open and answer nothing. */
  signalPostgres (signal: 'SIGSTOP' | 'SIGCONT'): void {
    const pid = Number(readFileSync(join(this.postgres.dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0])
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    for (const each of [pid, ...children.map(Number)]) process.kill(each, signal)
  }

  /** Brings a set of limits into force, instead of any other. */
  async setLimits (set: LimitSet): Promise<void> {
    const { statusCode, body } = await request(`${this.ingest.url}/limits`, { method: 'PUT', headers: { 'if-match': '*', 'content-type': 'application/json' }, body: JSON.stringify(set) })
    const answer = await body.text()
    if (statusCode !== 200) throw new Error(`limits refused: ${statusCode} ${answer}`)
  }

  /** Resolves when the kernel holds no packet that was not read. */
  async packetsRead (): Promise<void> {
    const socket = new RegExp(`:${this.udpPort.toString(16).toUpperCase().padStart(4, '0')} \\S+ \\S+ \\S+:([0-9A-F]+) `)
    const waits = (): boolean => ['udp', 'udp6'].some((table) => Number.parseInt(socket.exec(readFileSync(`/proc/net/${table}`, 'utf8'))?.[1] ?? '0', 16) > 0)
    while (waits()) await delay(QUEUE_LOOK_MS)
  }
}

/** Limits that take long to find for a satellite, and that many points break. */
export const COSTLY_LIMITS: LimitSet = {
  default: Object.fromEntries(METRICS.map(({ name }) => [name, { low: { warning: 10, critical: 0 }, high: { warning: 20, critical: 90_000 } }])),
  overrides: Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`p${at}*x`, {}]))
}

/** Runs work for each of many, a few at a time. */
export async function each<T> (items: readonly T[], atOnce: number, work: (item: T, lane: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async (_, lane) => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item, lane)
  }))
}
