/** Slots as seen by /health and /metrics, with the report of a healthy worker. */
import type { WorkerReport } from '../../../lib/messages/messages.js'
import type { UdpCounters } from '../../../lib/ingress/udp/dgram-listener.js'
import { MALFORMED_REASONS } from '../../../protocol/packet/packet.js'
import { DENIED_REASONS } from '../../../lib/ingress/udp/key-ring.js'
import type { Slot } from '../../../lib/primary/slots.js'
import { PointCounters } from '../../../lib/pipeline/pipeline.js'

export function reportOf (changes: Partial<WorkerReport> = {}): WorkerReport {
  return {
    slot: 0,
    points: new PointCounters(),
    limitsVersion: 1,
    waiting: 0,
    unspooled: 0,
    backlog: { frames: 0, rows: 0, bytes: 0, oldestMs: 0 },
    pressure: 'none',
    database: { state: 'ready', lastError: null, retries: 0 },
    halted: [],
    orphans: [],
    complaints: [],
    udp: null,
    metrics: [],
    ...changes
  }
}

export function slotOf (changes: Partial<Slot> = {}): Slot {
  return {
    number: 0,
    listener: { kind: 'http', port: 8080 },
    takesOverFrom: null,
    state: 'ready',
    worker: null,
    startedMs: performance.now() - 3_600_000,
    heardMs: performance.now(),
    diedMs: 0,
    quickDeaths: 0,
    restarts: 0,
    engine: 'node',
    lastDeath: null,
    fatal: null,
    report: reportOf(),
    timer: null,
    ...changes
  }
}

export function pointsOf (changes: Partial<PointCounters>): PointCounters {
  return Object.assign(new PointCounters(), changes)
}

export function udpCountersOf (changes: Partial<UdpCounters> = {}): UdpCounters {
  return {
    packets: 0,
    bytes: 0,
    taken: 0,
    heartbeats: 0,
    points: 0,
    authenticated: 0,
    denied: Object.fromEntries(DENIED_REASONS.map((reason) => [reason, 0])) as UdpCounters['denied'],
    malformed: Object.fromEntries(MALFORMED_REASONS.map((reason) => [reason, 0])) as UdpCounters['malformed'],
    rejectedPoints: 0,
    duplicatePoints: 0,
    stalePoints: 0,
    shed: 0,
    shedPoints: 0,
    kernelDrops: null,
    gaps: 0,
    late: 0,
    duplicates: 0,
    stale: 0,
    restarts: 0,
    strays: 0,
    evicted: 0,
    ...changes
  }
}
