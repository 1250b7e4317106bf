/** Latencies in whole microseconds, kept to three significant digits (HDR histogram of Node.js): bounded memory. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'

export type Latencies = RecordableHistogram

/** About 36 minutes; anything longer counts as this. */
const MICROS_MAX = 2 ** 31 - 1

export function createLatencies (): Latencies {
  return createHistogram({ lowest: 1, highest: MICROS_MAX, figures: 3 })
}

export function recordLatency (latencies: Latencies, ms: number): void {
  latencies.record(Math.min(MICROS_MAX, Math.max(1, Math.round(ms * 1000))))
}
