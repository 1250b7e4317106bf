/** The fleet event of the live feed: what the server does, in numbers. docs/HTTP.md describes the fields. */
import { logTarget, writersOf, type Config } from '../../config/settings.js'
import { databaseError } from '../answers/problems.js'
import { databaseView, slotView, sumPoints, type WorkerSources } from '../answers/health.js'
import type { AcceptedPoints, Throughput } from './throughput.js'

const NOW_MS = 3_000
const FIVE_MINUTES_MS = 300_000

export interface FleetSources {
  readonly workers: WorkerSources
  readonly config: Config
  readonly databaseKind: string
  readonly throughput: Throughput
}

/** Points accepted so far by all workers, past and present. */
export function acceptedPoints ({ slots, retired, retiredUdp }: WorkerSources): AcceptedPoints {
  const { accepted } = sumPoints(slots, retired)
  const { points: udp } = retiredUdp.view(slots.flatMap(({ report }) => report?.udp ?? []))
  return { http: Math.max(0, accepted - udp), udp }
}

/** @param timeMs since 1970 @param nowMs on the monotonic clock */
export function fleetSummary (sources: FleetSources, timeMs: number, nowMs: number): object {
  const { workers, workers: { slots, retiredUdp }, throughput, databaseKind, config } = sources
  const accepted = acceptedPoints(workers)
  return {
    time_ms: timeMs,
    rates: {
      now: throughput.rates(nowMs, accepted, NOW_MS),
      five_minutes: throughput.rates(nowMs, accepted, FIVE_MINUTES_MS)
    },
    points: pointsView(workers),
    latency: throughput.latency(),
    spool: spoolView(sources),
    udp: retiredUdp.view(slots.flatMap(({ report }) => report?.udp ?? [])),
    database: {
      ...databaseView(slots, { kind: databaseKind, embedded: config.databaseUrl === null }),
      error: databaseError(slots)
    },
    workers: slots.map((slot) => {
      const { kind, port } = slot.listener
      return { ...slotView(slot), kind, port }
    })
  }
}

/** Spooled: accepted, kept, and durable. */
function pointsView ({ slots, retired }: WorkerSources): object {
  const points = sumPoints(slots, retired)
  const sum = (name: 'waiting' | 'unspooled'): number =>
    slots.reduce((total, { report }) => total + (report?.[name] ?? 0), 0)
  const unspooled = sum('unspooled')
  const spooled = points.accepted - points.failed - unspooled
  return Object.assign(points, { spooled, unspooled, waiting: sum('waiting') })
}

function spoolView ({ workers: { slots }, config }: FleetSources): object {
  const backlogs = slots.flatMap(({ report }) => report?.backlog ?? [])
  const sum = (name: 'bytes' | 'frames'): number => backlogs.reduce((total, backlog) => total + backlog[name], 0)
  const isSpooled = config.spoolDir !== 'off'
  return {
    kind: isSpooled ? logTarget(config) === null ? 'disk' : 'log' : 'memory',
    bytes: sum('bytes'),
    limit_bytes: isSpooled ? config.spoolMaxBytes : config.memoryMaxBytes * writersOf(config),
    frames: sum('frames'),
    oldest_s: Math.max(0, ...backlogs.map(({ oldestMs }) => oldestMs)) / 1000
  }
}
