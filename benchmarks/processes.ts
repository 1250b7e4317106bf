/**
 * Cost of processes as accounted by the operating system (Linux, /proc): CPU time by kind of process, and peak memory.
 * Without /proc nothing is reported.
 *
 * CPU time is utime + stime of each process; that of processes that ended in between comes from their parent's
 * accounting for reaped children (cutime + cstime).
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

/** Parses /proc/<pid>/stat; the name in parentheses may contain anything, including parentheses. */
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

/** CPU seconds used by all processes of the machine and its neighbours (steal); null if unknown. */
export function machineCpuSeconds (): number | null {
  const line = /^cpu +(.+)$/m.exec(readOrNull('/proc/stat') ?? '')?.[1]
  return line === undefined ? null : busyTicks(line) / TICKS_PER_SECOND
}

/** user nice system idle iowait irq softirq steal …; idle and iowait are not work, and user includes guests. */
export function busyTicks (fields: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields.trim().split(/ +/).map(Number)
  return user + nice + system + irq + softirq + steal
}

/** Kinds of processes, by pid. */
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

/** CPU seconds between two samples, by kind. */
export function cpuBetween (before: CpuSample, after: CpuSample): ByProcess {
  const seconds: Record<string, number> = {}
  for (const [pid, role] of after.roles) {
    const end = after.stats.get(pid)
    if (end === undefined) continue
    const start = before.stats.get(pid)
    const ticks = end.ownTicks - (start?.ownTicks ?? 0) + (start === undefined
      ? 0
      : end.childrenTicks - start.childrenTicks)
    seconds[role] = (seconds[role] ?? 0) + ticks / TICKS_PER_SECOND
  }
  return seconds
}

/** Pids of a process's children. */
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

/** Pids of a process and of all below it. */
export function treeOf (root: number): number[] {
  return [root, ...childrenOf(root).flatMap(treeOf)]
}

/** "postgres: user database host(port) COPY" is a session; all others are background processes. */
const SESSION = /^postgres: \S+ \S+ \S+\(\d+\)/

/** Kind of a PostgreSQL process, by its title. */
export function postgresRole (title: string): string {
  return SESSION.test(title) ? 'database sessions' : 'database background'
}

/** The processes of a PostgreSQL server. @param except pids of the benchmark's own sessions */
export function postgresRoles (postmaster: number, except: ReadonlySet<number>): Map<number, string> {
  const roles = new Map([[postmaster, 'database background']])
  for (const pid of childrenOf(postmaster)) {
    if (!except.has(pid)) roles.set(pid, postgresRole(readOrNull(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') ?? ''))
  }
  return roles
}

/** Resets peak memory, where permitted. */
export function resetPeaks (pids: Iterable<number>): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
    } catch {
      // Not permitted, or not Linux: the peak then covers the whole life of the process.
    }
  }
}

/** Largest peak of resident memory per kind, in bytes. */
export function peakBytes (roles: Roles): ByProcess {
  return largestOf(roles, (status) => fieldBytes(status, 'VmHWM'))
}

/** Most resident memory now per kind, in bytes, without memory that processes share. */
export function ownBytes (roles: Roles): ByProcess {
  return largestOf(roles, (status) => fieldBytes(status, 'VmRSS') - fieldBytes(status, 'RssShmem'))
}

/** @param bytesOf what counts of /proc/<pid>/status; NaN: unknown */
function largestOf (roles: Roles, bytesOf: (status: string) => number): ByProcess {
  return [...roles].map(([pid, role]): ByProcess => {
    const bytes = bytesOf(readOrNull(`/proc/${pid}/status`) ?? '')
    return Number.isNaN(bytes) ? {} : { [role]: bytes }
  }).reduce(largest, {})
}

function fieldBytes (status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? NaN) * 1024
}

/** The larger of two, by kind. */
export function largest (one: ByProcess, other: ByProcess): ByProcess {
  const kinds = new Set([...Object.keys(one), ...Object.keys(other)])
  return Object.fromEntries([...kinds].map((kind) => [kind, Math.max(one[kind] ?? 0, other[kind] ?? 0)]))
}
