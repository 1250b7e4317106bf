/** A real server with one worker of each kind, and what fuzzing costs it in CPU time and memory. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { request } from 'undici'
import type { LimitSet } from '../../lib/limits/limit-set.js'
import { METRICS } from '../support/points/built-in.js'
import { readHealth } from '../support/programs/health.js'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { KEYS_FILE } from './forged.js'

/** An idle process takes some 90 MB; no input may make it grow beyond this. */
export const RESIDENT_BYTES_MAX = 500 * 1024 * 1024
const QUEUE_LOOK_MS = 2

export class Target {
  /** The primary's, then the workers'. */
  private pids: readonly number[] = []

  private constructor (readonly ingest: Ingest, readonly postgres: TestPostgres) {}

  static async start (owner: Owner, engine: 'uws' | 'node'): Promise<Target> {
    const postgres = await startTestPostgres(owner)
    const dataDir = await temporaryDirectory(owner)
    const keys = join(dataDir, 'udp-keys.json')
    writeFileSync(keys, KEYS_FILE, { mode: 0o600 })
    const ingest = await startIngest(owner, {
      dataDir,
      databaseUrl: postgres.url,
      udpPort: '0',
      // Open, so that packets without a key get as far as ever.
      args: ['--workers', '1', '--udp-keys-file', keys, '--udp-open', 'on'],
      // One engine ignores what the other rejects, to cover both paths of the decoders.
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

  /** Processes running at the start that have died: none in a good run. */
  deaths (): string[] {
    const dead = [...this.pids.keys()].filter((at) => !existsSync(`/proc/${this.pids[at] ?? 0}/cwd`))
    const log = this.ingest.program.lines.slice(-3).map((line) => JSON.stringify(line)).join('\n')
    return dead.map((at) => `${at === 0 ? 'the primary' : `worker ${at - 1}`} died: ${log}`)
  }

  /** CPU time of primary and workers, all threads, in milliseconds. */
  cpuMs (): number {
    let nanoseconds = 0
    for (const pid of this.pids) {
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0])
      }
    }
    return nanoseconds / 1e6
  }

  residentBytes (): number {
    const kilobytes = this.pids.map((pid) => {
      return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
    })
    return Math.max(...kilobytes) * 1024
  }

  /** Signals all database processes: stopped ones keep their connections open without answering. */
  signalPostgres (signal: 'SIGSTOP' | 'SIGCONT'): void {
    const lock = join(this.postgres.dataDir, 'postgres', 'postmaster.pid')
    const pid = Number(readFileSync(lock, 'utf8').split('\n')[0])
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    for (const each of [pid, ...children.map(Number)]) process.kill(each, signal)
  }

  /** Puts a set of limits into force, replacing any other. */
  async setLimits (set: LimitSet): Promise<void> {
    const { statusCode, body } = await request(`${this.ingest.url}/limits`, {
      method: 'PUT', headers: { 'if-match': '*', 'content-type': 'application/json' }, body: JSON.stringify(set)
    })
    const answer = await body.text()
    if (statusCode !== 200) throw new Error(`limits refused: ${statusCode} ${answer}`)
  }

  /** Resolves when the kernel has no unread packets. */
  async packetsRead (): Promise<void> {
    const port = this.udpPort.toString(16).toUpperCase().padStart(4, '0')
    const socket = new RegExp(`:${port} \\S+ \\S+ \\S+:([0-9A-F]+) `)
    const isUnread = (table: string): boolean => {
      return Number.parseInt(socket.exec(readFileSync(`/proc/net/${table}`, 'utf8'))?.[1] ?? '0', 16) > 0
    }
    while (isUnread('udp') || isUnread('udp6')) await delay(QUEUE_LOOK_MS)
  }
}

/** Limits that are slow to look up for a satellite, and that many points exceed. */
export const COSTLY_LIMITS: LimitSet = {
  default: Object.fromEntries(METRICS.map(({ name }) => (
    [name, { low: { warning: 10, critical: 0 }, high: { warning: 20, critical: 90_000 } }]))),
  overrides: Object.fromEntries(Array.from({ length: 2_000 }, (_, at) => [`p${at}*x`, {}]))
}

/** Runs work for each item, a few at a time. */
export async function each<T> (items: readonly T[], atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }))
}
