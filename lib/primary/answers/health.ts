/**
 * GET /health, for people and orchestrators.
 *
 *   healthy     points are accepted and nothing is wrong            200
 *   degraded    points are accepted, but something is: `reasons`    200
 *   unhealthy   points are not accepted                             503
 */
import { describeExpiry } from '../../access/tls-files.js'
import type { EngineChoice } from '../../ingress/http/engines/load-engine.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { PointCounters } from '../../pipeline/pipeline.js'
import { describeWaiting, FILLING_MINUTES_MIN } from '../../upkeep/rollup/progress.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { Slot } from '../slots.js'
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
  readonly maintenanceError: string | null
  /** Null: not yet known. */
  readonly rollups: RollupStatus | null
  /** What the last reload did not take up. */
  readonly reloadFaults: readonly string[]
  /** When the certificate expires, in milliseconds since 1970; null: no TLS. */
  readonly tlsExpiresMs: number | null
}

/** Before the workers are forked. */
export const NO_WORKERS: WorkerSources = {
  slots: [],
  retired: new PointCounters(),
  retiredUdp: new UdpTotals(),
  limits: { version: 0, complaint: null }
}

/** How long a worker's restart is mentioned. */
const RESTART_MENTIONED_MS = 60_000

export function healthAnswer (sources: HealthSources): StatusAnswer {
  const { slots } = sources
  const serving = slots.filter((slot) => slot.state === 'ready' && slot.report?.pressure !== 'hard')
  const reasons = [
    ...slots.flatMap(slotReasons),
    ...databaseReasons(sources),
    ...rollupReasons(sources),
    ...sources.reloadFaults.map((fault) => `not reloaded, the previous one stays in force: ${fault}`),
    ...tlsReasons(sources),
    ...sources.limits.complaint === null ? [] : [sources.limits.complaint]
  ]
  const status = serving.length === 0 ? 'unhealthy' : reasons.length > 0 ? 'degraded' : 'healthy'
  const body = {
    status,
    timestamp: new Date().toISOString(),
    version: sources.version,
    uptime_seconds: Math.round((performance.now() - sources.startedMs) / 1000),
    reasons,
    database: databaseView(sources),
    http: sources.httpEngine,
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

function slotReasons (slot: Slot): string[] {
  const name = `worker ${slot.number}`
  const reasons: string[] = []
  if (slot.state !== 'ready') {
    reasons.push(`${name} is ${slot.state}${slot.lastDeath === null ? '' : ` after ${slot.lastDeath}`}`)
  } else if (slot.restarts > 0 && performance.now() - slot.startedMs < RESTART_MENTIONED_MS) {
    reasons.push(`${name} was restarted after ${String(slot.lastDeath)}`)
  }
  if (slot.report?.pressure === 'soft') reasons.push(`${name} is nearly full (soft limit)`)
  if (slot.report?.pressure === 'hard') reasons.push(`${name} is full (hard limit)`)
  return [...reasons, ...slot.report?.complaints ?? []]
}

function databaseReasons ({ slots, waitsFor, maintenanceError }: HealthSources): string[] {
  const error = slots.map((slot) => slot.report?.database.lastError).find((message) => typeof message === 'string')
  const reasons = typeof error === 'string' ? [`database writes are failing: ${error}`] : []
  if (waitsFor !== null) reasons.push(waitsFor)
  if (maintenanceError !== null) reasons.push(`database maintenance is failing: ${maintenanceError}`)
  return reasons
}

function tlsReasons ({ tlsExpiresMs }: HealthSources): string[] {
  return tlsExpiresMs !== null && tlsExpiresMs <= Date.now() ? [describeExpiry(tlsExpiresMs)] : []
}

function rollupReasons ({ rollups, database }: HealthSources): string[] {
  if (rollups === null) return []
  const { overdue, failedBuckets, failure, waitingMinutes } = rollups
  const effect = database.kind === 'timescale'
    ? 'telemetry_10s and telemetry_1m are incomplete until then'
    : 'queries of that time are slower until then'
  const reasons = overdue.map(({ view, seconds }) =>
    `the refresh policy of ${view} is overdue (last run ${seconds} s ago); this server refreshes in its place`)
  if (failedBuckets > 0) {
    reasons.push(`rollup buckets that failed and are left out: ${failedBuckets}; most recently: ${String(failure)}`)
  }
  if ((waitingMinutes ?? 0) >= FILLING_MINUTES_MIN) {
    reasons.push(`${describeWaiting(rollups)} are still to be built; ${effect}`)
  }
  return reasons
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

function databaseView ({ slots, database }: HealthSources): object {
  const states = slots.map((slot) => slot.report?.database.state ?? 'connecting')
  return { ...database, state: states.includes('ready') ? 'up' : 'down' }
}

function pointsView ({ slots, retired }: HealthSources): object {
  const waiting = slots.reduce((sum, slot) => sum + (slot.report?.waiting ?? 0), 0)
  return Object.assign(sumPoints(slots, retired), { waiting })
}

function slotView (slot: Slot): object {
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
