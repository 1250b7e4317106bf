/** Sample measurements and reports. */
import { planOf, type Plan } from '../../benchmarks/plan.js'
import type { Group } from '../../benchmarks/plan.js'
import type { Measurement, Report } from '../../benchmarks/result.js'

/** A plan that includes everything. */
export const plan: Plan = planOf({ mode: 'full', runs: null, seconds: null, only: null })

export function measurement (name: string, rates: readonly number[], group: Group = 'http'): Measurement {
  return {
    name,
    group,
    title: `${name} & <more>`,
    unit: 'points/s',
    runs: rates.map((rate) =>
      ({ rate, seconds: 1, sent: rate, acknowledged: rate, stored: rate, problems: [] }))
  }
}

export function report (): Report {
  const latency = { count: 100, p50: 0.5, p90: 2, p99: 15, p999: 120, max: 200 }
  const full = measurement('http_json_1000', [400_000, 420_000, 300_000])
  const costs = {
    cpuSeconds: { worker: 0.5, 'database sessions': 0.25, load: 0.1 },
    peakBytes: { worker: 150e6 },
    otherCpuShare: 0.25
  }
  return {
    startedAt: '2026-11-23T12:00:00.000Z',
    seconds: 61,
    version: '1.0.0',
    program: null,
    commit: 'abcdef0123',
    argv: ['--quick', '--program', "it's"],
    plan: { ...plan, runs: 3 },
    machine: {
      cpu: 'CPU',
      cores: 2,
      memoryBytes: 8 * 2 ** 30,
      system: 'Linux',
      node: '20',
      fileSystem: 'ext4',
      loadBefore: 0.5
    },
    server: { workers: 2, database: 'plain' },
    measurements: [
      measurement('ceiling_copy', [600_000], 'ceilings'),
      { ...full, runs: full.runs.map((run) => ({ ...run, ...costs, latency })) },
      {
        ...measurement('latency_ack_10000', [10_000], 'latency'),
        runs: [{ rate: 10_000, seconds: 1, sent: 1, acknowledged: 1, stored: 1, latency, problems: [] }]
      }
    ],
    ratios: [{ name: 'json_of_copy', title: 'JSON of COPY', value: 0.6667, spread: 0.12, lower: false }],
    targets: [
      { title: 'JSON', unit: 'points/s', atLeast: 300_000, aim: 450_000, measured: 400_000, lower: false },
      { title: 'p99', unit: 'ms', atLeast: 20, aim: 8, measured: 25, lower: true }
    ],
    verdicts: [
      { title: 'stored', passed: true, detail: '5 runs' },
      { title: 'rate', passed: false, detail: 'too low' }
    ],
    skipped: [{ title: 'UDP', reason: 'no listener' }]
  }
}
