/** Throughputs as shares of ceilings of the same round: what can be compared from day to day and from machine to machine. */
import type { Measurement, Ratio } from './result.js'
import { median } from './statistics.js'

interface Pair {
  readonly name: string
  readonly title: string
  readonly of: string
  readonly ceiling: string
}

const PAIRS: readonly Pair[] = [
  { name: 'json_of_copy', title: 'JSON, 1000 a request, stored ÷ raw COPY', of: 'http_json_1000', ceiling: 'ceiling_copy' },
  { name: 'json_10000_of_copy', title: 'JSON, 10,000 a request, stored ÷ raw COPY', of: 'http_json_10000', ceiling: 'ceiling_copy' },
  { name: 'ndjson_of_copy', title: 'NDJSON, 1000 a request, stored ÷ raw COPY', of: 'http_ndjson_1000', ceiling: 'ceiling_copy' },
  { name: 'msgpack_of_copy', title: 'msgpack frames, 1000 a request, stored ÷ raw COPY', of: 'http_msgpack_1000', ceiling: 'ceiling_copy' },
  { name: 'json_of_drop', title: 'JSON, 1000 a request, stored ÷ decoded and dropped', of: 'http_json_1000', ceiling: 'ceiling_drop_1000' },
  { name: 'single_of_drop', title: 'JSON, one point a request, stored ÷ decoded and dropped', of: 'http_json_1', ceiling: 'ceiling_drop_1' },
  { name: 'spool_full', title: 'JSON, 1000 a request, with the spool ÷ without', of: 'spool_full', ceiling: 'spool_full_off' },
  { name: 'spool_few', title: 'JSON, 1000 a request, 12 connections, with the spool ÷ without', of: 'spool_few', ceiling: 'spool_few_off' },
  { name: 'udp_of_count', title: 'UDP stored ÷ UDP counted', of: 'udp', ceiling: 'ceiling_udp' }
]

/** Of the pairs that were both measured; each round has a ratio, and the median of them counts. */
export function ratiosOf (measurements: readonly Measurement[]): Ratio[] {
  return PAIRS.flatMap(({ name, title, of, ceiling }) => {
    const values = ratesOf(measurements, of)
    const ceilings = ratesOf(measurements, ceiling)
    const rounds = values.flatMap((value, round) => (ceilings[round] ?? 0) > 0 ? [value / (ceilings[round] as number)] : [])
    return rounds.length === 0 ? [] : [{ name, title, value: median(rounds) }]
  })
}

function ratesOf (measurements: readonly Measurement[], name: string): number[] {
  return measurements.find((measurement) => measurement.name === name)?.runs.map(({ rate }) => rate) ?? []
}
