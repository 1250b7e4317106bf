/** A real server of one worker of each kind, and what it costs it to be fuzzed: processor time and memory, as the system accounts them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { readHealth } from '../support/health.js'
import type { Owner } from '../support/owner.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/postgres.js'
import { startIngest, type Ingest } from '../support/program.js'

/** A worker at rest takes some 90 MB; what it may grow to whatever it is sent. */
export const RESIDENT_BYTES_MAX = 500 * 1024 * 1024
const QUEUE_LOOK_MS = 2

export class Target {
  private pids: readonly number[] = []

  private constructor (readonly ingest: Ingest, readonly postgres: TestPostgres) {}

  static async start (owner: Owner, engine: 'uws' | 'node'): Promise<Target> {
    const postgres = await startTestPostgres(owner)
    const ingest = await startIngest(owner, {
      dataDir: await temporaryDirectory(owner), databaseUrl: postgres.url, udpPort: '0', args: ['--workers', '1'], env: { HTTP_ENGINE: engine, LOG_LEVEL: 'info' }
    })
    const target = new Target(ingest, postgres)
    target.pids = (await readHealth(ingest.url)).workers.map(({ pid }) => pid)
    return target
  }

  get port (): number {
    return Number(new URL(this.ingest.url).port)
  }

  get udpPort (): number {
    return this.ingest.udpPorts[0] ?? NaN
  }

  /** Workers that are no more: none, in a good run. */
  deaths (): string[] {
    return this.pids.flatMap((pid, slot) => existsSync(`/proc/${pid}/cwd`) ? [] : [`worker ${slot} died: ${this.ingest.program.lines.slice(-3).map((line) => JSON.stringify(line)).join('\n')}`])
  }

  /** Processor time of the workers, all threads of them, in milliseconds. */
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

  /** Resolves when the kernel holds no packet that was not read. */
  async packetsRead (): Promise<void> {
    const socket = new RegExp(`:${this.udpPort.toString(16).toUpperCase().padStart(4, '0')} \\S+ \\S+ \\S+:([0-9A-F]+) `)
    const waits = (): boolean => ['udp', 'udp6'].some((table) => Number.parseInt(socket.exec(readFileSync(`/proc/net/${table}`, 'utf8'))?.[1] ?? '0', 16) > 0)
    while (waits()) await delay(QUEUE_LOOK_MS)
  }
}

/** Runs work for each of many, a few at a time. */
export async function each<T> (items: readonly T[], atOnce: number, work: (item: T, lane: number) => Promise<void>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async (_, lane) => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item, lane)
  }))
}
