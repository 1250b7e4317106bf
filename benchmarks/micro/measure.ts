/**
 * Measures a part of the hot path in isolation: points per second, and bytes allocated per point on the JavaScript heap
 * and in buffers outside it. Needs --expose-gc, so that earlier allocations do not count.
 */
import { median } from '../statistics.js'

export interface MicroCase {
  readonly name: string
  /** Points per call. */
  readonly points: number
  readonly call: () => void
}

export interface MicroFigure {
  readonly name: string
  readonly pointsPerSecond: number
  readonly nanosPerPoint: number
  readonly heapBytesPerPoint: number
  readonly bufferBytesPerPoint: number
}

export interface MicroSettings {
  readonly runMs: number
  readonly runs: number
}

const ALLOCATION_ROUNDS = 5
/** Their allocations fit into the young generation: no collection runs while they are counted. */
const ALLOCATION_POINTS = 20_000

export function measureCase (micro: MicroCase, settings: MicroSettings): MicroFigure {
  repeatFor(micro, settings.runMs)
  const rates = Array.from({ length: settings.runs }, () => repeatFor(micro, settings.runMs))
  const pointsPerSecond = median(rates)
  const allocations = Array.from({ length: ALLOCATION_ROUNDS }, () => allocationsOf(micro))
  return {
    name: micro.name,
    pointsPerSecond,
    nanosPerPoint: 1e9 / pointsPerSecond,
    heapBytesPerPoint: median(allocations.map(({ heap }) => heap)),
    bufferBytesPerPoint: median(allocations.map(({ buffers }) => buffers))
  }
}

/** Points per second. */
function repeatFor ({ call, points }: MicroCase, runMs: number): number {
  const startMs = performance.now()
  let calls = 0
  let nowMs = startMs
  while (nowMs - startMs < runMs) {
    call()
    calls++
    nowMs = performance.now()
  }
  return calls * points * 1000 / (nowMs - startMs)
}

function allocationsOf ({ call, points }: MicroCase): { heap: number, buffers: number } {
  const calls = Math.max(1, Math.round(ALLOCATION_POINTS / points))
  globalThis.gc?.()
  const before = process.memoryUsage()
  for (let index = 0; index < calls; index++) call()
  const after = process.memoryUsage()
  const per = (bytes: number): number => Math.max(0, bytes) / (calls * points)
  return { heap: per(after.heapUsed - before.heapUsed), buffers: per(after.arrayBuffers - before.arrayBuffers) }
}
