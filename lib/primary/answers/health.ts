/**
 * GET /health, for people and orchestrators.
 *
 *   healthy     points are accepted and nothing is wrong            200
 *   degraded    points are accepted, but something is: `reasons`    200
 *   unhealthy   points are not accepted                             503
 */
import type { EngineChoice } from '../../ingress/http/engines/load-engine.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { PointCounters } from '../../pipeline/pipeline.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { Slot } from '../slots.js'
import { problemsOf } from './problems.js'
import { UdpTotals } from './udp-totals.js'

export interface WorkerSources {
  readonly slots: readonly Slot[]
  /** Points counted by workers that have exited. */
  readonly retired: PointCounters
  /** The same for UDP. */
  readonly retiredUdp: UdpTotals
  /** Version in force, and a problem in distributing it. */
  readonly limits: { readonly version: number, readonly complaint: string | null }
}

export interface HealthSources extends WorkerSources {
  readonly version: string
  readonly startedMs: number
  readonly database: { readonly kind: string, readonly embedded: boolean }
  /** What the start is waiting for; null: nothing. */
  readonly waitsFor: string | null
  readonly httpEngine: EngineChoice | null
  /** What an acknowledgement is worth. */
  readonly acknowledged: string
  readonly maintenanceError: string | null
  /** Null: not yet known. */
  readonly rollups: RollupStatus | null
  /** What the last reload did not take up. */
  readonly reloadFaults: readonly string[]
  /** Why the last rolling restart stopped; null: it did not. */
  readonly restartFault: string | null
  /** When the certificate expires, in milliseconds since 1970; null: no TLS. */
  readonly tlsExpiresMs: number | null
  /** Why UDP is open although HTTP is not; null: it is not. */
  readonly openUdp: string | null
}

/** Before the workers are forked. */
export const NO_WORKERS: WorkerSources = {
  slots: [],
  retired: new PointCounters(),
  retiredUdp: new UdpTotals(),
  limits: { version: 0, complaint: null }
}

export function healthAnswer (sources: HealthSources): StatusAnswer {
  const { slots } = sources
  const serving = slots.filter((slot) => slot.state === 'ready' && slot.report?.pressure !== 'hard')
  const { database: { kind: databaseKind }, limits: { complaint } } = sources
  const reasons = problemsOf({ ...sources, databaseKind, limits: complaint }).map(({ message }) => message)
  const status = serving.length === 0 ? 'unhealthy' : reasons.length > 0 ? 'degraded' : 'healthy'
  const body = {
    status,
    timestamp: new Date().toISOString(),
    version: sources.version,
    uptime_seconds: Math.round((performance.now() - sources.startedMs) / 1000),
    reasons,
    database: databaseView(slots, sources.database),
    http: sources.httpEngine,
    acknowledged: sources.acknowledged,
    points: pointsView(sources),
    rollups: rollupsView(sources),
    limits_version: sources.limits.version,
    udp: sources.retiredUdp.view(slots.flatMap(({ report }) => report?.udp ?? [])),
    workers: slots.map(slotView)
  }
  return { status: status === 'unhealthy' ? 503 : 200, contentType: 'application/json', body: JSON.stringify(body) }
}

/** Points of all workers, past and present. */
export function sumPoints (slots: readonly Slot[], retired: PointCounters): PointCounters {
  const sum = Object.assign(new PointCounters(), retired)
  for (const { report } of slots) {
    if (report !== null) addPoints(sum, report.points)
  }
  return sum
}

export function addPoints (sum: PointCounters, points: Readonly<PointCounters>): void {
  for (const outcome of Object.keys(sum) as Array<keyof PointCounters>) sum[outcome] += points[outcome]
}

function rollupsView ({ rollups }: HealthSources): object | null {
  if (rollups === null) return null
  const { waitingMinutes, remainingSeconds, failedBuckets, overdue } = rollups
  return {
    waiting_minutes: waitingMinutes,
    remaining_seconds: remainingSeconds,
    failed_buckets: failedBuckets,
    overdue_policies: overdue.map(({ view }) => view)
  }
}

/** @param database what does not change */
export function databaseView (slots: readonly Slot[], database: HealthSources['database']): object {
  const states = slots.map((slot) => slot.report?.database.state ?? 'connecting')
  return { ...database, state: states.includes('ready') ? 'up' : 'down' }
}

function pointsView ({ slots, retired }: HealthSources): object {
  const waiting = slots.reduce((sum, slot) => sum + (slot.report?.waiting ?? 0), 0)
  return Object.assign(sumPoints(slots, retired), { waiting })
}

export function slotView (slot: Slot): object {
  return {
    slot: slot.number,
    pid: slot.worker?.process.pid ?? null,
    state: slot.state,
    restarts: slot.restarts,
    engine: slot.engine,
    database: slot.report?.database.state ?? null,
    limits_version: slot.report?.limitsVersion ?? null,
    waiting: slot.report?.waiting ?? 0,
    journal_bytes: slot.report?.backlog.bytes ?? 0
  }
}
