/** Which measurements share a chart, and so a scale: those of the same order of magnitude. */
import { formatCount } from '../../lib/config/setting-types.js'
import type { Measurement } from '../result.js'

export interface Panel {
  readonly title: string
  readonly measurements: readonly Measurement[]
}

/** One point per request, at full speed or at the sender's rate. */
const ONE_A_REQUEST: readonly string[] = [
  'ceiling_drop_1', 'autocannon_10000', 'autocannon_free', 'http_json_1', 'http_json_1_node'
]
/** Run at a fixed rate. */
const FIXED = /^(rollups_rate|aggregates_)/

const THROUGHPUT: ReadonlyArray<readonly [string, (measurement: Measurement) => boolean]> = [
  ['One point a request', ({ name }) => ONE_A_REQUEST.includes(name)],
  [
    'Batches and UDP',
    ({ group, name }) => ['ceilings', 'http', 'udp', 'sustained'].includes(group) && !ONE_A_REQUEST.includes(name)
  ],
  ['With the spool and without', ({ group }) => group === 'spool'],
  ['With rollups and without', ({ group, name }) => group === 'rollups' && !FIXED.test(name)],
  ['Growth', ({ group }) => group === 'growth']
]

export function throughputPanels (measurements: readonly Measurement[]): Panel[] {
  const counted = measurements.filter(({ unit }) => unit === 'points/s')
  return filled(THROUGHPUT.map(([title, belongs]) => ({ title, measurements: counted.filter(belongs) })))
}

/**
 * Runs that stored nothing have no cost per point, and are not shown. One panel per fixed rate: idling
 * costs too.
 */
export function costPanels (measurements: readonly Measurement[]): Panel[] {
  const measured = measurements
    .map((measurement) => ({
      ...measurement,
      runs: measurement.runs.filter(({ cpuSeconds, stored }) => cpuSeconds !== undefined && stored > 0)
    }))
    .filter(({ runs }) => runs.length > 0)
  const paced = measured.filter(({ group }) => group === 'latency')
  const rates = [...new Set(paced.map(rateOf))]
  return filled([
    ...throughputPanels(measured),
    ...rates.map((rate) => ({
      title: `At ${formatCount(rate)} points/s`,
      measurements: paced.filter((measurement) => rateOf(measurement) === rate)
    })),
    {
      title: 'At a fixed rate, with rollups and without',
      measurements: measured.filter(({ group, name }) => group === 'rollups' && FIXED.test(name))
    },
    {
      title: 'TimescaleDB, with continuous aggregates and without',
      measurements: measured.filter(({ group }) => group === 'aggregates')
    }
  ])
}

/** Their names end in their rate. */
function rateOf ({ name }: Measurement): number {
  return Number(/\d+$/.exec(name)?.[0] ?? 0)
}

function filled (panels: readonly Panel[]): Panel[] {
  return panels.filter((panel) => panel.measurements.length > 0)
}
