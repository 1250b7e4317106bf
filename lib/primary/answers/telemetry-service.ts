/** Answers questions about telemetry: the last points of satellites, and their past. Runs in the primary. */
import type { Catalogue } from '../../../protocol/catalogue.js'
import { jsonAnswer, errorAnswer } from '../../ingress/http/engines/answers.js'
import { STREAM, cursorText } from '../../ingress/http/query/requests.js'
import type {
  LatestRequest, SatellitesRequest, SeriesRequest, StatusAnswer, TelemetryQuestion
} from '../../ingress/http/api/status-port.js'
import { LimitStates, stateOfValue, worstOf } from '../../limits/limit-states.js'
import type { NumberedLimits } from '../../limits/limit-set.js'
import type { QueryPool } from '../../database/query-pool.js'
import { isoTime } from '../../pipeline/rows/rows.js'
import { readLatestPoint, readSatellitePage } from '../../queries/latest-points.js'
import { readNewestValues, type TimedValue } from '../../queries/newest-values.js'
import { readSeries, type BucketSeries, type Series } from '../../queries/series-query.js'
import { rowsAnswer, type Rows } from './rows-text.js'
import type { Answers } from './questions.js'

export interface TelemetryServiceParts {
  readonly catalogue: Catalogue
  readonly limits: () => NumberedLimits
  readonly queries: QueryPool
  /** Microseconds since 1970. */
  readonly now: () => number
}

type QuestionOf<Kind extends TelemetryQuestion['kind']> = Extract<TelemetryQuestion, { readonly kind: Kind }>

/** Before the end of a range without a beginning. */
const RANGE_MICROS = 900e6
/** How far back several newest values are looked for, if the client does not say. */
const LATEST_RANGE_MICROS = 86_400e6

export class TelemetryService {
  readonly answers: Pick<Answers, TelemetryQuestion['kind']> = {
    satellites: async (question) => await this.satellites(question),
    satellite: async (question) => await this.satellite(question),
    series: async (question) => await this.series(question),
    latest: async ({ request }) => await this.latest(request),
    minmax: async ({ request }) => await this.minmax(request)
  }

  constructor (private readonly parts: TelemetryServiceParts) {}

  private async satellites ({ request, format }: QuestionOf<'satellites'>): Promise<StatusAnswer> {
    const { catalogue, queries } = this.parts
    const now = this.parts.now()
    const { version, set } = this.parts.limits()
    const { limited } = new LimitStates(set, catalogue.live.map(({ name }) => name))
    const states = new LimitStates(set, limited)
    const filter = pageFilter(request, now)
    const { points, total, hasMore } = await queries.run((db) => readSatellitePage(db, limited, filter))
    const found = points.map(({ satellite, timeMicros, values }) => (
      { id: satellite, time: isoTime(timeMicros), state: states.stateOf(satellite, values) }
    ))
    if (format !== 'json') {
      return rowsAnswer(format, {
        columns: ['satellite_id', 'state', 'stream', 'time'],
        rows: found.map(({ id, time, state }) => [id, state, STREAM, time])
      })
    }
    return jsonAnswer({
      now: isoTime(now),
      total,
      limits_version: version,
      satellites: found.map(({ id, time, state }) => (
        { satellite_id: id, state, streams: { [STREAM]: { time, state } } }
      )),
      next: hasMore ? cursorText(points.at(-1)?.satellite ?? '') : null
    })
  }

  private async satellite ({ satellite, metrics, format }: QuestionOf<'satellite'>): Promise<StatusAnswer> {
    const now = this.parts.now()
    const { version, set } = this.parts.limits()
    const point = await this.parts.queries.run((db) => readLatestPoint(db, metrics, satellite))
    if (point === null) return errorAnswer('not_found', { message: 'No point of this satellite is stored.' })
    const limits = new LimitStates(set, metrics).limitsOf(satellite)
    const found = this.metricsOf(metrics).map(({ name, title, unit }, index) => {
      const value = point.values[index] ?? null
      const own = limits[index] ?? {}
      return { name, title, unit, value, state: stateOfValue(value, own), limits: own }
    })
    const time = isoTime(point.timeMicros)
    const state = worstOf(found.map((each) => each.state))
    if (format !== 'json') {
      return rowsAnswer(format, {
        columns: ['satellite_id', 'stream', 'time', 'metric', 'unit', 'value', 'state'],
        rows: found.map((each) => [satellite, STREAM, time, each.name, each.unit, each.value, each.state])
      })
    }
    const byName = Object.fromEntries(found.map(({ name, ...metric }) => [name, metric]))
    return jsonAnswer({
      satellite_id: satellite,
      now: isoTime(now),
      state,
      limits_version: version,
      streams: { [STREAM]: { time, state, metrics: byName } }
    })
  }

  private async series ({ request, format }: QuestionOf<'series'>): Promise<StatusAnswer> {
    const { satellite, stream, metrics } = request
    const { range, series } = await this.read(request)
    if (format !== 'json') return rowsAnswer(format, rowsOf(series, metrics))
    const isRaw = series.kind === 'raw'
    const described = this.metricsOf(metrics).map(({ name, title, unit }, index) => (
      [name, { title, unit, ...isRaw ? { values: series.values[index] } : series.values[index] }] as const
    ))
    return jsonAnswer({
      satellite_id: satellite,
      stream,
      from: isoTime(range.fromMicros),
      to: isoTime(range.toMicros),
      kind: series.kind,
      source: series.source,
      bucket_ms: isRaw ? null : series.widthMicros / 1000,
      time_ms: series.timesMicros.map((micros) => micros / 1000),
      counts: isRaw ? null : series.counts,
      metrics: Object.fromEntries(described)
    })
  }

  private async latest (request: LatestRequest): Promise<StatusAnswer> {
    const { satellite, metric, countMax } = request
    const values = await this.parts.queries.run(async (db): Promise<TimedValue[]> => {
      const last = await readLatestPoint(db, [metric], satellite)
      if (last === null) return []
      const { timeMicros, values: [value = null] } = last
      // Nothing is newer than the last point, whatever the clocks of satellites say.
      const toMicros = Math.min(request.toMicros ?? timeMicros, timeMicros)
      const fromMicros = request.fromMicros ?? toMicros - LATEST_RANGE_MICROS
      if (countMax === 1 && toMicros === timeMicros && fromMicros <= timeMicros && value !== null) {
        return [{ timeMicros, value }]
      }
      return await readNewestValues(db, { satellite, metric, fromMicros, toMicros, countMax })
    })
    return jsonAnswer(values.reverse().map(({ timeMicros, value }) => datum(timeMicros, value)))
  }

  private async minmax (request: SeriesRequest): Promise<StatusAnswer> {
    const { series } = await this.read(request)
    if (series.kind === 'buckets') return jsonAnswer(extremes(series))
    const values = series.values[0] ?? []
    return jsonAnswer(series.timesMicros.flatMap((time, index) => {
      const value = values[index] ?? null
      return value === null ? [] : [datum(time, value)]
    }))
  }

  private async read (
    { satellite, metrics, pointsMax, ...given }: SeriesRequest
  ): Promise<{ readonly range: { readonly fromMicros: number, readonly toMicros: number }, readonly series: Series }> {
    const toMicros = given.toMicros ?? Math.max(this.parts.now(), (given.fromMicros ?? 0) + 1)
    const range = { fromMicros: given.fromMicros ?? toMicros - RANGE_MICROS, toMicros }
    const filter = { satellite, metrics, ...range, pointsMax }
    return { range, series: await this.parts.queries.run((db) => readSeries(db, filter)) }
  }

  private metricsOf (names: readonly string[]): Catalogue['metrics'] {
    const { metrics } = this.parts.catalogue
    return names.flatMap((name) => metrics.find((metric) => metric.name === name) ?? [])
  }
}

function pageFilter (
  { match, staleMs, countMax, after }: SatellitesRequest, now: number
): Parameters<typeof readSatellitePage>[2] {
  return { match, beforeMicros: staleMs === null ? null : now - staleMs * 1000, after, countMax }
}

function rowsOf (series: Series, metrics: readonly string[]): Rows {
  const { timesMicros } = series
  if (series.kind === 'raw') {
    return {
      columns: ['time', ...metrics],
      rows: timesMicros.map((time, row) => [isoTime(time), ...series.values.map((values) => values[row] ?? null)])
    }
  }
  return {
    columns: ['time', 'count', ...metrics.flatMap((name) => [`${name}_min`, `${name}_max`, `${name}_avg`])],
    rows: timesMicros.map((time, row) => [
      isoTime(time), series.counts[row] ?? null,
      ...series.values.flatMap(({ min, max, avg }) => [min[row] ?? null, max[row] ?? null, avg[row] ?? null])
    ])
  }
}

/** Open MCT's form of a value. */
function datum (timeMicros: number, value: number): object {
  return { timestamp: timeMicros / 1000, value }
}

/** Two values of each bucket: its minimum at its beginning, its maximum in its middle. One if they are equal. */
function extremes ({ timesMicros, widthMicros, values: [metric] }: BucketSeries): object[] {
  return timesMicros.flatMap((time, index) => {
    const [min, max] = [metric?.min[index] ?? null, metric?.max[index] ?? null]
    if (min === null || max === null) return []
    return min === max ? [datum(time, min)] : [datum(time, min), datum(time + widthMicros / 2, max)]
  })
}
