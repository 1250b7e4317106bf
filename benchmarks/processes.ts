/**
 * What processes cost, as the operating system accounts it (Linux, /proc): processor time by kind of process, and
 * peak memory. Elsewhere there is no /proc, and nothing is reported.
 *
 * Processor time is utime + stime of each process; what a process spent that ended in between is taken from the time of
 * children that its parent has waited for (cutime + cstime).
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { ByProcess } from './result.js'

/** USER_HZ is 100 on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100

export interface ProcessStat {
  readonly parent: number
  readonly ownTicks: number
  readonly childrenTicks: number
}

/** The fields of /proc/<pid>/stat that count; the name in brackets may hold anything, also brackets. */
export function parseStat (text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return { parent: field(4), ownTicks: field(14) + field(15), childrenTicks: field(16) + field(17) }
}

function readOrNull (path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function statOf (pid: number): ProcessStat | null {
  const text = readOrNull(`/proc/${pid}/stat`)
  return text === null ? null : parseStat(text)
}

/** Seconds of processor time that all processes of the machine, and its neighbours (steal), have had; null where it is not told. */
export function machineCpuSeconds (): number | null {
  const line = /^cpu +(.+)$/m.exec(readOrNull('/proc/stat') ?? '')?.[1]
  return line === undefined ? null : busyTicks(line) / TICKS_PER_SECOND
}

/** user nice system idle iowait irq softirq steal …; idle and iowait are no work, and guests are in user already. */
export function busyTicks (fields: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields.trim().split(/ +/).map(Number)
  return user + nice + system + irq + softirq + steal
}

/** Processes with their kinds. */
export type Roles = ReadonlyMap<number, string>

export interface CpuSample {
  readonly roles: Roles
  readonly stats: ReadonlyMap<number, ProcessStat>
}

export function sampleCpu (roles: Roles): CpuSample {
  const stats = new Map<number, ProcessStat>()
  for (const pid of roles.keys()) {
    const stat = statOf(pid)
    if (stat !== null) stats.set(pid, stat)
  }
  return { roles, stats }
}

/** Seconds of processor time between two samples, by kind. */
export function cpuBetween (before: CpuSample, after: CpuSample): ByProcess {
  const seconds: Record<string, number> = {}
  for (const [pid, role] of after.roles) {
    const end = after.stats.get(pid)
    if (end === undefined) continue
    const start = before.stats.get(pid)
    const ticks = end.ownTicks - (start?.ownTicks ?? 0) + (start === undefined ? 0 : end.childrenTicks - start.childrenTicks)
    seconds[role] = (seconds[role] ?? 0) + ticks / TICKS_PER_SECOND
  }
  return seconds
}

/** Pids of the processes whose parent is this one. */
export function childrenOf (parent: number): number[] {
  const names = ((): string[] => {
    try {
      return readdirSync('/proc')
    } catch {
      return []
    }
  })()
  return names.filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => statOf(pid)?.parent === parent)
}

/** "postgres: user database host(port) COPY" is a session; all others work in the background. */
const SESSION = /^postgres: \S+ \S+ \S+\(\d+\)/

/** Kind of a process of PostgreSQL by its title. */
export function postgresRole (title: string): string {
  return SESSION.test(title) ? 'database sessions' : 'database background'
}

/** The processes of a PostgreSQL server. @param except pids that are left out: sessions of the benchmark itself */
export function postgresRoles (postmaster: number, except: ReadonlySet<number>): Map<number, string> {
  const roles = new Map([[postmaster, 'database background']])
  for (const pid of childrenOf(postmaster)) {
    if (!except.has(pid)) roles.set(pid, postgresRole(readOrNull(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') ?? ''))
  }
  return roles
}

/** Begins to measure peaks anew, where the system lets us. */
export function resetPeaks (pids: Iterable<number>): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
    } catch {
      // Not allowed, or no Linux: the peak is then that of the whole life of the process.
    }
  }
}

/** Largest peak of resident memory of each kind, in bytes. */
export function peakBytes (roles: Roles): ByProcess {
  const peaks: Record<string, number> = {}
  for (const [pid, role] of roles) {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readOrNull(`/proc/${pid}/status`) ?? '')?.[1]
    if (kilobytes !== undefined) peaks[role] = Math.max(peaks[role] ?? 0, Number(kilobytes) * 1024)
  }
  return peaks
}
