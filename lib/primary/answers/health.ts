/**
 * /health: what people and orchestrators read.
 *
 *   healthy     points are accepted and all is well                   200
 *   degraded    points are accepted, and `reasons` says what is wrong 200
 *   unhealthy   points are not accepted                               503
 */
import type { EngineChoice } from '../../ingress/http/engines/load-engine.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'
import { PointCounters } from '../../pipeline/pipeline.js'
import { describeWaiting, FILLING_MINUTES_MIN } from '../../upkeep/rollup/progress.js'
import type { RollupStatus } from '../../upkeep/rollups.js'
import type { Slot } from '../slots.js'
import type { UdpTotals } from './udp-totals.js'

export interface HealthSources {
  readonly version: string
  readonly startedMs: number
  readonly slots: readonly Slot[]
  /** Points of workers that are no more. */
  readonly retired: PointCounters
  /** What UDP workers that are no more have counted. */
  readonly retiredUdp: UdpTotals
  readonly database: { readonly kind: string, readonly embedded: boolean }
  /** What a start waits for; null: nothing. */
  readonly waitsFor: string | null
  readonly httpEngine: EngineChoice | null
  readonly maintenanceError: string | null
  /** Null: not known yet. */
  readonly rollups: RollupStatus | null
  /** Version of the limits that count, and what is wrong with them. */
  readonly limits: { readonly version: number, readonly complaint: string | null }
}

/** Time after a restart of a worker during which it is worth a mention. */
const RESTART_MENTIONED_MS = 60_000

export function healthAnswer (sources: HealthSources): StatusAnswer {
  const { slots } = sources
  const serving = slots.filter((slot) => slot.state === 'ready' && slot.report?.pressure !== 'hard')
  const reasons = [...slots.flatMap(slotReasons), ...databaseReasons(sources), ...rollupReasons(sources), ...sources.limits.complaint === null ? [] : [sources.limits.complaint]]
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

/** Points of all workers, those that are gone included. */
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
  if (slot.state !== 'ready') reasons.push(`${name} is ${slot.state}${slot.lastDeath === null ? '' : ` after ${slot.lastDeath}`}`)
  else if (slot.restarts > 0 && performance.now() - slot.startedMs < RESTART_MENTIONED_MS) reasons.push(`${name} was restarted after ${String(slot.lastDeath)}`)
  if (slot.report !== null && slot.report.pressure !== 'none') reasons.push(`${name} has hardly room for more points (${slot.report.pressure} bound)`)
  return [...reasons, ...slot.report?.complaints ?? []]
}

function databaseReasons ({ slots, waitsFor, maintenanceError }: HealthSources): string[] {
  const error = slots.map((slot) => slot.report?.database.lastError ?? null).find((message) => message !== null)
  const reasons = error === undefined ? [] : [`the database does not take points: ${error}`]
  if (waitsFor !== null) reasons.push(waitsFor)
  if (maintenanceError !== null) reasons.push(`database maintenance fails: ${maintenanceError}`)
  return reasons
}

function rollupReasons ({ rollups, database }: HealthSources): string[] {
  if (rollups === null) return []
  const { overdue, failedBuckets, failure, waitingMinutes } = rollups
  const lacking = database.kind === 'timescale' ? 'telemetry_10s and telemetry_1m lack them until then' : 'queries of their time are slower until then'
  return [
    ...overdue.map(({ view, seconds }) => `the refresh policy of ${view} has not run for ${seconds} s although it was due; this server refreshes in its place`),
    ...failedBuckets === 0 ? [] : [`buckets of rollups that cannot be made and are left out: ${failedBuckets}; the last is ${String(failure)}`],
    ...(waitingMinutes ?? 0) < FILLING_MINUTES_MIN ? [] : [`${describeWaiting(rollups)} are to be made yet; ${lacking}`]
  ]
}

function rollupsView ({ rollups }: HealthSources): object | null {
  if (rollups === null) return null
  const { waitingMinutes, remainingSeconds, failedBuckets, overdue } = rollups
  return { waiting_minutes: waitingMinutes, remaining_seconds: remainingSeconds, failed_buckets: failedBuckets, overdue_policies: overdue.map(({ view }) => view) }
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
