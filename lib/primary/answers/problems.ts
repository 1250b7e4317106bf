/** What is wrong now, in words for people and codes for programs: the `reasons` of /health, and those of the feed. */
import { describeExpiry } from '../../access/tls-files.js'
import { describeWaiting, FILLING_MINUTES_MIN } from '../../upkeep/rollup/progress.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { WorkerReport } from '../../messages/messages.js'
import type { Slot } from '../slots.js'

export type ProblemCode = 'worker_down' | 'worker_restarted' | 'spool_nearly_full' | 'spool_full' | 'worker_complaint' |
  'database_away' | 'ledger_fault' | 'starting' | 'maintenance_failing' | 'rollups_overdue' | 'rollups_failed' |
  'rollups_filling' | 'limits_not_in_force' | 'not_reloaded' | 'not_replaced' |
  'certificate_expired' | 'udp_open'

export interface Problem {
  readonly code: ProblemCode
  /** What has it, if several may, such as a worker: code and subject together are unique. */
  readonly subject: string
  readonly message: string
}

export interface ProblemSources {
  readonly slots: readonly Slot[]
  readonly databaseKind: string
  /** What the start is waiting for; null: nothing. */
  readonly waitsFor: string | null
  readonly maintenanceError: string | null
  /** Null: not yet known. */
  readonly rollups: RollupStatus | null
  /** A problem in distributing the limits; null: none. */
  readonly limits: string | null
  /** What the last reload did not take up. */
  readonly reloadFaults: readonly string[]
  /** Why the last rolling restart stopped; null: it did not. */
  readonly restartFault: string | null
  /** When the certificate expires, in milliseconds since 1970; null: no TLS. */
  readonly tlsExpiresMs: number | null
  /** Why UDP is open although HTTP is not; null: it is not. */
  readonly openUdp: string | null
}

/** What the primary knows besides its workers. */
export interface HostConditions
  extends Pick<ProblemSources,
    'maintenanceError' | 'reloadFaults' | 'restartFault' | 'tlsExpiresMs' | 'openUdp'> {
  readonly rollups: RollupStatus
}

/** How long a worker's restart is mentioned. */
const RESTART_MENTIONED_MS = 60_000
/** A worker that is only busy answers within this time. */
const SILENT_MS = 10_000

export function problemsOf (sources: ProblemSources): Problem[] {
  return [
    ...sources.slots.flatMap(slotProblems),
    ...databaseProblems(sources),
    ...rollupProblems(sources),
    ...problemIf('limits_not_in_force', sources.limits),
    ...sources.reloadFaults.map((fault) =>
      problem('not_reloaded', `not reloaded; the previous one stays in force: ${fault}`, fault)),
    ...problemIf('not_replaced', replacementProblem(sources)),
    ...certificateProblems(sources),
    ...problemIf('udp_open', sources.openUdp)
  ]
}

function problem (code: ProblemCode, message: string, subject = ''): Problem {
  return { code, subject, message }
}

function problemIf (code: ProblemCode, message: string | null): Problem[] {
  return message === null ? [] : [problem(code, message)]
}

function replacementProblem ({ restartFault }: ProblemSources): string | null {
  return restartFault === null ? null : `the rolling restart stopped before all workers were replaced: ${restartFault}`
}

function slotProblems (slot: Slot): Problem[] {
  const name = `worker ${slot.number}`
  const { state, lastDeath, restarts, startedMs, report } = slot
  const problems: Problem[] = []
  const isBeingReplaced = state === 'retiring' || slot.takesOverFrom !== null
  if (state !== 'ready' && !isBeingReplaced) {
    const what = state === 'waiting' ? 'waiting to be restarted' : state
    const message = `${name} is ${what}${lastDeath === null ? '' : ` after ${lastDeath}`}`
    problems.push(problem('worker_down', message, name))
  } else if (state === 'ready' && performance.now() - slot.heardMs > SILENT_MS) {
    problems.push(problem('worker_down', `${name} does not respond; its figures are out of date`, name))
  } else if (state === 'ready' && restarts > 0 && performance.now() - startedMs < RESTART_MENTIONED_MS) {
    problems.push(problem('worker_restarted', `${name} was restarted after ${String(lastDeath)}`, name))
  }
  if (report?.pressure === 'soft') {
    problems.push(problem('spool_nearly_full', `queue of ${name} is nearly full (soft limit)`, name))
  }
  if (report?.pressure === 'hard') problems.push(problem('spool_full', `queue of ${name} is full (hard limit)`, name))
  for (const complaint of report?.complaints ?? []) problems.push(problem('worker_complaint', complaint, complaint))
  return problems
}

/** Why writes fail; null: they do not. A halted drain is named first: unlike the others, it needs an operator. */
export function databaseError (slots: readonly Slot[]): string | null {
  return failingDrain(slots)?.lastError ?? null
}

function failingDrain (slots: readonly Slot[]): WorkerReport['database'] | null {
  const failing = slots.flatMap(({ report }) => report === null ? [] : report.database)
    .filter(({ lastError }) => lastError !== null)
  return failing.find(({ state }) => state === 'halted') ?? failing[0] ?? null
}

function databaseProblems ({ slots, waitsFor, maintenanceError }: ProblemSources): Problem[] {
  const failing = failingDrain(slots)
  const writes = failing === null ? null : `database writes are failing: ${String(failing.lastError)}`
  const maintenance = maintenanceError === null ? null : `database maintenance is failing: ${maintenanceError}`
  return [
    ...problemIf(failing?.state === 'halted' ? 'ledger_fault' : 'database_away', writes),
    ...problemIf('starting', waitsFor),
    ...problemIf('maintenance_failing', maintenance)
  ]
}

function certificateProblems ({ tlsExpiresMs }: ProblemSources): Problem[] {
  const isExpired = tlsExpiresMs !== null && tlsExpiresMs <= Date.now()
  return isExpired ? [problem('certificate_expired', describeExpiry(tlsExpiresMs))] : []
}

function rollupProblems ({ rollups, databaseKind }: ProblemSources): Problem[] {
  if (rollups === null) return []
  const { overdue, failedBuckets, failure, waitingMinutes } = rollups
  const effect = databaseKind === 'timescale'
    ? 'telemetry_10s and telemetry_1m are incomplete until then'
    : 'queries of that time are slower until then'
  const problems = overdue.map(({ view, seconds }) => problem('rollups_overdue',
    `the refresh policy of ${view} is overdue (last run ${seconds} s ago); this server refreshes in its place`, view))
  if (failedBuckets > 0) {
    problems.push(problem('rollups_failed',
      `rollup buckets that failed and are left out: ${failedBuckets}; most recently: ${String(failure)}`))
  }
  if ((waitingMinutes ?? 0) >= FILLING_MINUTES_MIN) {
    problems.push(problem('rollups_filling', `${describeWaiting(rollups)} are still to be built; ${effect}`))
  }
  return problems
}
