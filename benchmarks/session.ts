/** What all measurements share: the server that is measured, a connection to its database, and who costs what. */
import { cpus } from 'node:os'
import type { Database } from '../lib/store/db.js'
import type { Plan } from './plan.js'
import { cpuBetween, machineCpuSeconds, peakBytes, resetPeaks, sampleCpu, type CpuSample, type Roles } from './processes.js'
import type { ByProcess, Group, Measurement, RunRecord, Skipped } from './result.js'
import { Server, type ServerOptions } from './server.js'
import { LOAD_ROLE } from './statistics.js'

export interface Session {
  readonly plan: Plan
  readonly server: Server
  readonly db: Database
  readonly options: ServerOptions
}

export async function openSession (plan: Plan, options: ServerOptions): Promise<Session> {
  const server = await Server.start(options)
  return { plan, server, options, db: await server.connect() }
}

export async function closeSession ({ server, db }: Session): Promise<void> {
  db.destroy()
  await server.stop()
}

/** Collects the records of measurements over the rounds, in the order in which they came first. */
export class Results {
  readonly skipped: Skipped[] = []
  private readonly byName = new Map<string, { title: string, group: Group, unit: string, runs: RunRecord[] }>()

  add (group: Group, name: string, title: string, unit: string, run: RunRecord): void {
    const known = this.byName.get(name)
    if (known === undefined) this.byName.set(name, { title, group, unit, runs: [run] })
    else known.runs.push(run)
  }

  skip (title: string, reason: string): void {
    if (!this.skipped.some((skipped) => skipped.title === title)) this.skipped.push({ title, reason })
  }

  /** The largest rate so far; null if there is none. */
  bestRate (name: string): number | null {
    const best = Math.max(0, ...this.byName.get(name)?.runs.map(({ rate }) => rate) ?? [])
    return best === 0 ? null : best
  }

  get measurements (): Measurement[] {
    return [...this.byName].map(([name, measurement]) => ({ name, ...measurement }))
  }
}

/** Processor time and memory of the server from now until `end` is called. */
export class Costs {
  private readonly startMs = performance.now()
  private readonly machineBefore = machineCpuSeconds()

  private constructor (private readonly session: Session, private readonly before: CpuSample) {}

  static async begin (session: Session): Promise<Costs> {
    const before = sampleCpu(await rolesOf(session))
    resetPeaks(before.roles.keys())
    return new Costs(session, before)
  }

  /** @param loadSeconds processor time of the load generator */
  async end (loadSeconds: number): Promise<Pick<RunRecord, 'cpuSeconds' | 'peakBytes' | 'otherCpuShare'>> {
    const roles = await rolesOf(this.session)
    const cpuSeconds = { ...cpuBetween(this.before, sampleCpu(roles)), [LOAD_ROLE]: loadSeconds }
    return { cpuSeconds, peakBytes: peakBytes(roles), otherCpuShare: this.otherShare(cpuSeconds) }
  }

  /** This process, which watches, is other work too: a few percent. */
  private otherShare (own: ByProcess): number {
    const machine = machineCpuSeconds()
    if (machine === null || this.machineBefore === null) return 0
    const available = cpus().length * (performance.now() - this.startMs) / 1000
    const ours = Object.values(own).reduce((sum, seconds) => sum + seconds, 0)
    return Math.max(0, machine - this.machineBefore - ours) / available
  }
}

async function rolesOf ({ server, db }: Session): Promise<Roles> {
  return await server.roles(new Set([db.backendPid]))
}
