/** Reads requests for telemetry. Every bound of an answer is here. */
import type { Catalogue, Metric } from '../../../../protocol/catalogue.js'
import { SATELLITE_ID_CHARACTERS_MAX, SATELLITE_ID_RULE, isSatelliteId } from '../../../../protocol/satellites.js'
import { listNames } from '../../../../protocol/names.js'
import { parseDuration } from '../../../config/value-types.js'
import type { LatestRequest, SatellitesRequest, SeriesRequest } from '../api/status-port.js'
import { Parameters, wholeNumber, type Read } from './parameters.js'

/** The only one so far. */
export const STREAM = 'telemetry'

export const SATELLITES_COUNT = 100
export const SATELLITES_COUNT_MAX = 1_000
export const POINTS = 1_000
/** One bucket cannot be aligned to both ends of a range. */
export const POINTS_MIN = 2
export const POINTS_MAX = 10_000
/** Points times metrics of one answer, which has three numbers, or the name of a state, for each: at most 5 MB. */
const CELLS_MAX = 100_000
export const SIZE_MAX = 10_000
const WILDCARDS_MAX = 8
const DAYS_MAX_MS = 100_000 * 86_400e3

/** What may be exported. */
export interface ExportRequest {
  /** Null: all satellites. */
  readonly satellite: string | null
  readonly metrics: readonly Metric[]
  /** Microseconds since 1970, inclusive. */
  readonly fromMicros: number
  /** Exclusive; null: now. */
  readonly toMicros: number | null
}

export class RequestReader {
  /** Metrics that are not retired. */
  private readonly live: readonly Metric[]
  /** By name or alias, with the position in the catalogue. */
  private readonly metrics = new Map<string, { readonly metric: Metric, readonly position: number }>()

  constructor (catalogue: Catalogue) {
    this.live = catalogue.live
    catalogue.metrics.forEach((metric, position) => {
      for (const each of [metric.name, ...metric.aliases]) this.metrics.set(each, { metric, position })
    })
  }

  satellites (query: string): Read<SatellitesRequest> {
    const parameters = new Parameters(query, ['match', 'stale', 'limit', 'cursor'])
    return parameters.result({
      match: parameters.get('match', '', readMatch,
        `must have at most ${SATELLITE_ID_CHARACTERS_MAX} characters and ${WILDCARDS_MAX} *`),
      staleMs: parameters.get('stale', null, readStale, 'must be a duration such as 30s, 5m or 2h'),
      countMax: parameters.getCount('limit', SATELLITES_COUNT, SATELLITES_COUNT_MAX),
      after: parameters.get('cursor', '', readCursor, 'must be the "next" of an earlier answer')
    })
  }

  satellite (id: string, query: string): Read<{ readonly satellite: string, readonly metrics: readonly string[] }> {
    const parameters = new Parameters(query, ['metrics'])
    checkId(parameters, id)
    return parameters.result({ satellite: id, metrics: namesOf(this.readMetrics(parameters)) })
  }

  series (satellite: string, stream: string, query: string): Read<SeriesRequest> {
    const parameters = new Parameters(query, ['metrics', 'from', 'to', 'points'])
    checkId(parameters, satellite)
    const metrics = namesOf(this.readMetrics(parameters))
    const most = Math.min(POINTS_MAX, Math.floor(CELLS_MAX / Math.max(metrics.length, 1)))
    const pointsMax = parameters.get('points', Math.min(POINTS, most), wholeNumber(POINTS_MIN, most),
      `must be a whole number from ${POINTS_MIN} to ${most}` +
      (most < POINTS_MAX ? ` with ${metrics.length} metrics: choose some with metrics=` : ''))
    return parameters.result({ satellite, stream, metrics, ...readRange(parameters, 'from', 'to'), pointsMax })
  }

  latest (query: string): Read<LatestRequest> {
    const parameters = new Parameters(query, HISTORY_PARAMETERS)
    const { satellite, metric } = this.readHistory(parameters)
    const range = readRange(parameters, 'start', 'end')
    return parameters.result({ satellite, metric, ...range, countMax: parameters.getCount('size', 1, SIZE_MAX) })
  }

  /** Open MCT's size is a number of buckets, each with a minimum and a maximum. */
  minmax (query: string): Read<SeriesRequest> {
    const parameters = new Parameters(query, HISTORY_PARAMETERS)
    const { satellite, metric } = this.readHistory(parameters)
    const pointsMax = parameters.get('size', POINTS, wholeNumber(POINTS_MIN, POINTS_MAX),
      `must be a whole number from ${POINTS_MIN} to ${POINTS_MAX}`)
    const range = readRange(parameters, 'start', 'end')
    return parameters.result({ satellite, stream: STREAM, metrics: [metric], ...range, pointsMax })
  }

  export (query: string): Read<ExportRequest> {
    const parameters = new Parameters(query, ['stream', 'from', 'to', 'satellite', 'metrics'])
    readStream(parameters)
    const { fromMicros, toMicros } = readRange(parameters, 'from', 'to')
    if (!parameters.has('from')) parameters.problems.push('from is required: the time of the first point')
    const satellite = parameters.get('satellite', null, (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE)
    const metrics = this.readMetrics(parameters)
    return parameters.result({ satellite, metrics, fromMicros: fromMicros ?? 0, toMicros })
  }

  private readMetrics (parameters: Parameters): readonly Metric[] {
    return parameters.get('metrics', this.live, (text) => {
      const found = text.split(',').map((name) => this.metrics.get(name.trim()))
      if (found.includes(undefined)) return null
      const known = found.filter((each) => each !== undefined).sort((a, b) => a.position - b.position)
      return [...new Set(known.map(({ metric }) => metric))]
    }, `must be names of metrics, separated by commas; known metrics are ${listNames(namesOf(this.live))}`)
  }

  private readHistory (parameters: Parameters): { readonly satellite: string, readonly metric: string } {
    readStream(parameters)
    for (const name of ['satellite', 'metric']) {
      if (!parameters.has(name)) parameters.problems.push(`${name} is required`)
    }
    return {
      satellite: parameters.get('satellite', '', (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE),
      metric: parameters.get('metric', '', (text) => this.metrics.get(text)?.metric.name ?? null,
        `must be a metric; known metrics are ${listNames(namesOf(this.live))}`)
    }
  }
}

const HISTORY_PARAMETERS = ['satellite', 'metric', 'stream', 'start', 'end', 'size']

function namesOf (metrics: readonly Metric[]): string[] {
  return metrics.map(({ name }) => name)
}

/** For `next`. */
export function cursorText (id: string): string {
  return Buffer.from(id).toString('base64url')
}

function readCursor (text: string): string | null {
  const id = Buffer.from(text, 'base64url').toString()
  return isSatelliteId(id) ? id : null
}

function readMatch (text: string): string | null {
  const characters = Array.from(text).length
  const wildcards = text.split('*').length - 1
  return characters <= SATELLITE_ID_CHARACTERS_MAX && wildcards <= WILDCARDS_MAX && !text.includes('\0') ? text : null
}

function readStale (text: string): number | null {
  const ms = /[a-z]$/.test(text) ? parseDuration(text) : null
  return ms !== null && ms >= 0 && ms <= DAYS_MAX_MS ? ms : null
}

function checkId (parameters: Parameters, id: string): void {
  if (!isSatelliteId(id)) parameters.problems.push(`the satellite in the path ${SATELLITE_ID_RULE}`)
}

function readStream (parameters: Parameters): void {
  parameters.get('stream', STREAM, (text) => text === STREAM ? text : null, `must be ${STREAM}`)
}

function readRange (
  parameters: Parameters, from: string, to: string
): { readonly fromMicros: number | null, readonly toMicros: number | null } {
  const [fromMicros, toMicros] = [parameters.getTime(from), parameters.getTime(to)]
  if (fromMicros !== null && toMicros !== null && fromMicros >= toMicros) {
    parameters.problems.push(`${from} must be before ${to}`)
  }
  return { fromMicros, toMicros }
}
