/** Parses query parameters for limits and anomalies. */
import { SEVERITIES, type LimitableMetrics } from '../../limits/limit-set.js'
import type { AnomalyCursor, AnomalyFilter } from '../../queries/anomaly-query.js'
import { listNames } from '../../../protocol/names.js'
import {
  MICROS_MAX, Parameters, isWhole, oneOf, wholeNumber, type Read
} from '../../ingress/http/api/parameters.js'
import { SATELLITE_ID_RULE, isSatelliteId } from '../../../protocol/satellites.js'

const ANOMALIES_COUNT = 100
const ANOMALIES_COUNT_MAX = 10_000
const HISTORY_COUNT = 20
const HISTORY_COUNT_MAX = 100

export function readAnomalyFilter (query: string, { metrics }: LimitableMetrics): Read<AnomalyFilter> {
  const parameters = new Parameters(query, ['since', 'until', 'satellite', 'metric', 'severity', 'limit', 'cursor'])
  return parameters.result({
    sinceMicros: parameters.getTime('since'),
    untilMicros: parameters.getTime('until'),
    satellite: parameters.get('satellite', null, (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE),
    metric: parameters.get('metric', null, oneOf(metrics), `must be one of ${listNames(metrics)}`),
    severity: parameters.get('severity', null, oneOf(SEVERITIES), `must be one of ${SEVERITIES.join(', ')}`),
    cursor: parameters.get('cursor', null, readCursor, 'must be the "next" of an earlier answer'),
    countMax: parameters.getCount('limit', ANOMALIES_COUNT, ANOMALIES_COUNT_MAX)
  })
}

export function readHistoryQuery (query: string): Read<{ readonly countMax: number, readonly before: number | null }> {
  const parameters = new Parameters(query, ['limit', 'before'])
  return parameters.result({
    countMax: parameters.getCount('limit', HISTORY_COUNT, HISTORY_COUNT_MAX),
    before: parameters.get('before', null, wholeNumber(1, Number.MAX_SAFE_INTEGER), 'must be a version')
  })
}

/** Encodes a cursor for use in a URL. */
export function cursorText ({ timeMicros, satellite, metric, given }: AnomalyCursor): string {
  return Buffer.from(JSON.stringify([timeMicros, satellite, metric, given])).toString('base64url')
}

function readCursor (text: string): AnomalyCursor | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(value) || value.length !== 4) return null
    const [timeMicros, satellite, metric, given] = value as unknown[]
    if (!isWhole(timeMicros, -MICROS_MAX, MICROS_MAX) || !isWhole(given, 1, Number.MAX_SAFE_INTEGER)) return null
    if (typeof satellite !== 'string' || !isSatelliteId(satellite)) return null
    if (typeof metric !== 'string' || metric.includes('\0')) return null
    return { timeMicros, satellite, metric, given }
  } catch {
    return null
  }
}
