/** A catalogue as the database keeps it: the file's form without what is left to defaults. */
import type { Catalogue, Metric } from '../../protocol/catalogue.js'
import type { ValidRange } from '../../protocol/valid-range.js'
import { formatDuration } from '../config/setting-types.js'
import { storageFields } from './storage.js'

/** The one form of the file. */
export const FORM = 1

export function catalogueJson ({ streams }: Catalogue): object {
  const entries = streams.map(({ id, name, title, intervalMs, storage, metrics, retired }) => [name, {
    id,
    title,
    interval: intervalMs === null ? undefined : formatDuration(intervalMs),
    ...storageFields(storage),
    retired,
    metrics: Object.fromEntries(metrics.map(metricEntry))
  }])
  return { catalogue: FORM, streams: Object.fromEntries(entries) as object }
}

function metricEntry ({ name, states, simulation, range, ...metric }: Metric): readonly [string, object] {
  return [name, {
    ...metric,
    states: states.length === 0 ? undefined : Object.fromEntries(states.map(({ name, value }) => [name, value])),
    resolution: metric.resolution ?? undefined,
    range: range === null ? undefined : rangeEntry(range),
    simulate: simulation
  }]
}

function rangeEntry ({ min, max, outside }: ValidRange): object {
  return { min: min ?? undefined, max: max ?? undefined, outside: outside === 'null' ? null : outside }
}
