/** Limits and points for testing what comes after the limit check. */
import { AnomalyColumns } from '../../../lib/limits/anomaly-columns.js'
import type { LimitSet } from '../../../lib/limits/limit-set.js'
import { LimitTable } from '../../../lib/limits/limit-table.js'
import { Batcher } from '../../../lib/pipeline/batcher.js'
import { JournalListeners } from '../../../lib/journal/journal.js'
import type { ClosedBatch, Journal } from '../../../lib/journal/journal.js'
import { PointColumns } from '../../../protocol/columns.js'
import { METRICS, METRIC_COUNT, STREAM, TELEMETRY } from './built-in.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

/** One critical limit per metric: above 10. */
const ABOVE_TEN: LimitSet = {
  default: Object.fromEntries(METRICS.map(({ name }) => [name, { high: { critical: 10 } }])),
  overrides: {}
}

export type PlainPoint = readonly [id: string, timeMicros: number, ...values: number[]]

const satellites = new SatelliteTable()

export function columnsOf (points: readonly PlainPoint[]): PointColumns {
  const columns = new PointColumns(TELEMETRY)
  for (const [id, timeMicros, ...values] of points) {
    const satellite = satellites.byId(id)
    if (satellite === null) throw new Error(`invalid id: ${id}`)
    const first = columns.push(satellite, timeMicros) * METRIC_COUNT
    values.forEach((value, metric) => { columns.values[first + metric] = value })
  }
  return columns
}

/** The payload of a batch of these points, checked against the limits. */
export function payloadOf (points: readonly PlainPoint[], set: LimitSet = ABOVE_TEN, version = 1): Buffer {
  const batches: ClosedBatch[] = []
  const journal: Pick<Journal, 'append' | 'idle' | 'listeners'> = {
    idle: true, listeners: new JournalListeners(), append: (batch) => batches.push(batch)
  }
  const batcher = new Batcher(journal as Journal, { batchSize: 1e6, batchTimeoutMs: 1e6 }, STREAM)
  const anomalies = new AnomalyColumns(1)
  const table = new LimitTable({ version, set }, TELEMETRY)
  for (const point of points) {
    const columns = columnsOf([point])
    table.judge(columns, satellites.generation, anomalies)
    batcher.append(columns, anomalies, 'received', () => {})
  }
  batcher.close()
  const payload = batches[0]?.payload
  if (payload === undefined) throw new Error('no batch without points')
  return payload
}
