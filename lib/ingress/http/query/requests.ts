/** Reads requests for telemetry. Every bound of an answer is here. */
import { strict as assert } from 'node:assert'
import { TELEMETRY, type Catalogue, type Metric, type Stream } from '../../../../protocol/catalogue.js'
import { SATELLITE_ID_CHARACTERS_MAX, SATELLITE_ID_RULE, isSatelliteId } from '../../../../protocol/satellites.js'
import { listNames, noSuchStream } from '../../../../protocol/names.js'
import { parseDuration } from '../../../config/setting-types.js'
import type { ChosenMetrics, LatestRequest, SatellitesRequest, SeriesRequest } from '../api/status-port.js'
import { Parameters, wholeNumber, type Read } from '../api/parameters.js'

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
  readonly stream: Stream
  readonly metrics: readonly Metric[]
  /** Microseconds since 1970, inclusive. */
  readonly fromMicros: number
  /** Exclusive; null: now. */
  readonly toMicros: number | null
}

/** The metrics of a stream, for requests. */
class KnownStream {
  /** Those that are not retired. */
  readonly live: readonly Metric[]
  /** By name or alias, with the position in the catalogue. */
  private readonly metrics = new Map<string, { readonly metric: Metric, readonly position: number }>()

  constructor (readonly stream: Stream) {
    this.live = stream.live
    stream.metrics.forEach((metric, position) => {
      for (const each of [metric.name, ...metric.aliases]) this.metrics.set(each, { metric, position })
    })
  }

  metric (name: string): Metric | null {
    return this.metrics.get(name)?.metric ?? null
  }

  /** In the order of the catalogue, each once; null: one is not known. */
  choose (names: readonly string[]): readonly Metric[] | null {
    const found = names.map((name) => this.metrics.get(name))
    if (found.includes(undefined)) return null
    const known = found.filter((each) => each !== undefined).sort((a, b) => a.position - b.position)
    return [...new Set(known.map(({ metric }) => metric))]
  }
}

export class RequestReader {
  private readonly streams: ReadonlyMap<string, KnownStream>
  private readonly live: readonly KnownStream[]

  constructor (catalogue: Catalogue) {
    this.streams = new Map(catalogue.streams.map((stream) => [stream.name, new KnownStream(stream)]))
    this.live = catalogue.live.flatMap(({ name }) => this.streams.get(name) ?? [])
  }

  /** The message about a stream that is not in the catalogue; null: it is. */
  strangeStream (name: string): string | null {
    return this.streams.has(name) ? null : noSuchStream(name, [...this.streams.keys()])
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

  satellite (
    id: string, query: string
  ): Read<{ readonly satellite: string, readonly streams: readonly ChosenMetrics[] }> {
    const parameters = new Parameters(query, ['metrics'])
    checkId(parameters, id)
    const all = this.live.map(({ stream, live }) => ({ stream: stream.name, metrics: namesOf(live) }))
    const streams = parameters.get('metrics', all, (text) => this.chooseOfAll(text), 'must be names of metrics, ' +
      'separated by commas; those of a stream other than telemetry begin with its name and a dot; ' +
      `known metrics are ${listNames(this.live.flatMap(({ stream, live }) =>
        live.map(({ name }) => stream.qualify(name))))}`)
    return parameters.result({ satellite: id, streams })
  }

  /** @param name of a stream that there is */
  series (satellite: string, name: string, query: string): Read<SeriesRequest> {
    const parameters = new Parameters(query, ['metrics', 'from', 'to', 'points'])
    checkId(parameters, satellite)
    const metrics = namesOf(readMetrics(parameters, this.known(name)))
    const most = Math.min(POINTS_MAX, Math.floor(CELLS_MAX / Math.max(metrics.length, 1)))
    const pointsMax = parameters.get('points', Math.min(POINTS, most), wholeNumber(POINTS_MIN, most),
      `must be a whole number from ${POINTS_MIN} to ${most}` +
      (most < POINTS_MAX ? ` with ${metrics.length} metrics: choose some with metrics=` : ''))
    return parameters.result({ satellite, stream: name, metrics, ...readRange(parameters, 'from', 'to'), pointsMax })
  }

  latest (query: string): Read<LatestRequest> {
    const parameters = new Parameters(query, HISTORY_PARAMETERS)
    const { satellite, stream, metric } = this.readHistory(parameters)
    const range = readRange(parameters, 'start', 'end')
    const countMax = parameters.getCount('size', 1, SIZE_MAX)
    return parameters.result({ satellite, stream, metric, ...range, countMax })
  }

  /** Open MCT's size is a number of buckets, each with a minimum and a maximum. */
  minmax (query: string): Read<SeriesRequest> {
    const parameters = new Parameters(query, HISTORY_PARAMETERS)
    const { satellite, stream, metric } = this.readHistory(parameters)
    const pointsMax = parameters.get('size', POINTS, wholeNumber(POINTS_MIN, POINTS_MAX),
      `must be a whole number from ${POINTS_MIN} to ${POINTS_MAX}`)
    const range = readRange(parameters, 'start', 'end')
    return parameters.result({ satellite, stream, metrics: [metric], ...range, pointsMax })
  }

  export (query: string): Read<ExportRequest> {
    const parameters = new Parameters(query, ['stream', 'from', 'to', 'satellite', 'metrics'])
    const known = this.readStream(parameters)
    const { fromMicros, toMicros } = readRange(parameters, 'from', 'to')
    if (!parameters.has('from')) parameters.problems.push('from is required: the time of the first point')
    const satellite = parameters.get('satellite', null, (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE)
    const metrics = readMetrics(parameters, known)
    return parameters.result({ satellite, stream: known.stream, metrics, fromMicros: fromMicros ?? 0, toMicros })
  }

  private known (stream: string): KnownStream {
    const known = this.streams.get(stream)
    assert(known !== undefined, 'the stream is in the catalogue')
    return known
  }

  private readStream (parameters: Parameters): KnownStream {
    const names = [...this.streams.keys()]
    return parameters.get(
      'stream', this.known(TELEMETRY), (text) => this.streams.get(text) ?? null,
      names.length === 1 ? `must be ${TELEMETRY}` : `must be one of ${listNames(names)}`)
  }

  /** By stream, in the order of the catalogue; null: a name is not known. */
  private chooseOfAll (text: string): ChosenMetrics[] | null {
    const names = text.split(',').map((name) => name.trim())
    const chosen: ChosenMetrics[] = []
    let found = 0
    for (const known of this.streams.values()) {
      const prefix = known.stream.qualify('')
      const theirs = names.filter((name) => prefix === '' ? !name.includes('.') : name.startsWith(prefix))
      if (theirs.length === 0) continue
      found += theirs.length
      const metrics = known.choose(theirs.map((name) => name.slice(prefix.length)))
      if (metrics === null) return null
      chosen.push({ stream: known.stream.name, metrics: namesOf(metrics) })
    }
    return found === names.length ? chosen : null
  }

  private readHistory (parameters: Parameters): {
    readonly satellite: string, readonly stream: string, readonly metric: string
  } {
    const known = this.readStream(parameters)
    for (const name of ['satellite', 'metric']) {
      if (!parameters.has(name)) parameters.problems.push(`${name} is required`)
    }
    return {
      satellite: parameters.get('satellite', '', (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE),
      stream: known.stream.name,
      metric: parameters.get('metric', '', (text) => known.metric(text)?.name ?? null,
        `must be a metric; known metrics are ${listNames(namesOf(known.live))}`)
    }
  }
}

function readMetrics (parameters: Parameters, known: KnownStream): readonly Metric[] {
  return parameters.get('metrics', known.live, (text) => known.choose(text.split(',').map((name) => name.trim())),
    `must be names of metrics, separated by commas; known metrics are ${listNames(namesOf(known.live))}`)
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

function readRange (
  parameters: Parameters, from: string, to: string
): { readonly fromMicros: number | null, readonly toMicros: number | null } {
  const [fromMicros, toMicros] = [parameters.getTime(from), parameters.getTime(to)]
  if (fromMicros !== null && toMicros !== null && fromMicros >= toMicros) {
    parameters.problems.push(`${from} must be before ${to}`)
  }
  return { fromMicros, toMicros }
}
