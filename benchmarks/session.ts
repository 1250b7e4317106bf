/** Shared by all measurements: the server under measurement, a connection to its database, and cost accounting. */
import { cpus } from 'node:os'
import type { Database } from '../lib/database/database.js'
import type { Plan } from './plan.js'
import {
  cpuBetween, machineCpuSeconds, peakBytes, resetPeaks, sampleCpu, type CpuSample, type Roles
} from './processes.js'
import type { Group } from './plan.js'
import type { ByProcess, Measurement, RunRecord, Skipped } from './result.js'
import { Server, type ServerOptions } from './server.js'
import { takeComplaints } from './servers.js'
import { LOAD_ROLE, median } from './statistics.js'

export interface Session {
  readonly plan: Plan
  readonly server: Server
  readonly db: Database
  readonly options: ServerOptions
}

export async function openSession (plan: Plan, options: ServerOptions): Promise<Session> {
  const server = await Server.start(options)
  try {
    return { plan, server, options, db: await server.connect() }
  } catch (error) {
    await server.stop()
    throw error
  }
}

export async function closeSession ({ server, db }: Session): Promise<void> {
  db.destroy()
  await server.stop()
}

/** Collects the records of measurements over the rounds, in order of first appearance. */
export class Results {
  readonly skipped: Skipped[] = []
  private readonly byName = new Map<string, { title: string, group: Group, unit: string, runs: RunRecord[] }>()

  /** @param complaints errors of the servers since the last call: problems of the run being added */
  constructor (private readonly complaints: () => readonly string[] = takeComplaints) {}

  add (group: Group, name: string, title: string, unit: string, run: RunRecord): void {
    const said = this.complaints().map((complaint) => `the server logged: ${complaint}`)
    const record = said.length === 0 ? run : { ...run, problems: [...run.problems, ...said] }
    const known = this.byName.get(name)
    if (known === undefined) this.byName.set(name, { title, group, unit, runs: [record] })
    else known.runs.push(record)
  }

  skip (title: string, reason: string): void {
    if (!this.skipped.some((skipped) => skipped.title === title)) this.skipped.push({ title, reason })
  }

  /** Median of the rates above 0 so far; null if there is none. */
  medianRate (name: string): number | null {
    const rates = this.byName.get(name)?.runs.map(({ rate }) => rate).filter((rate) => rate > 0) ?? []
    return rates.length === 0 ? null : median(rates)
  }

  get measurements (): Measurement[] {
    return [...this.byName].map(([name, measurement]) => ({ name, ...measurement, title: titleOf(measurement) }))
  }
}

/** The title with the runs' notes. */
function titleOf ({ title, runs }: Pick<Measurement, 'title' | 'runs'>): string {
  const notes = new Set(runs.flatMap(({ notes = [] }) => notes))
  return notes.size === 0 ? title : `${title} (${[...notes].join(', ')})`
}

/**
 * CPU share used by neither the server nor the load, from now until `end`. This process, which watches, belongs to the
 * load.
 */
export class OtherWork {
  private readonly startMs = performance.now()
  private readonly machineBefore = machineCpuSeconds()
  private readonly watcherBefore = process.cpuUsage()

  /** @param ownSeconds CPU time of the server and the load */
  end (ownSeconds: number): Pick<RunRecord, 'otherCpuShare'> {
    const machine = machineCpuSeconds()
    if (machine === null || this.machineBefore === null) return {}
    const { user, system } = process.cpuUsage(this.watcherBefore)
    const available = cpus().length * (performance.now() - this.startMs) / 1000
    return { otherCpuShare: Math.max(0, machine - this.machineBefore - ownSeconds - (user + system) / 1e6) / available }
  }
}

/** CPU time and memory of the server from now until `end` is called. */
export class Costs {
  private readonly other = new OtherWork()

  private constructor (
    private readonly session: Session,
    private readonly before: CpuSample,
    private readonly asker: CpuSample
  ) {}

  static async begin (session: Session): Promise<Costs> {
    const roles = await rolesOf(session)
    resetPeaks(roles.keys())
    return new Costs(session, sampleCpu(roles), sampleCpu(askerOf(session)))
  }

  /** @param loadSeconds CPU time of the load generator, excluding this process */
  async end (loadSeconds: number): Promise<Pick<RunRecord, 'cpuSeconds' | 'peakBytes' | 'otherCpuShare'>> {
    const roles = await rolesOf(this.session)
    const asked = total(cpuBetween(this.asker, sampleCpu(askerOf(this.session))))
    const cpuSeconds = { ...cpuBetween(this.before, sampleCpu(roles)), [LOAD_ROLE]: loadSeconds }
    return { cpuSeconds, peakBytes: peakBytes(roles), ...this.other.end(total(cpuSeconds) + asked) }
  }
}

function total (cpuSeconds: ByProcess): number {
  return Object.values(cpuSeconds).reduce((sum, seconds) => sum + seconds, 0)
}

/** The processes of the server, without the session of the benchmark. */
export async function rolesOf ({ server, db }: Session): Promise<Roles> {
  return await server.roles(new Set([db.backendPid]))
}

/** The database process that serves the benchmark itself. */
function askerOf ({ db }: Session): Roles {
  return new Map([[db.backendPid, LOAD_ROLE]])
}
