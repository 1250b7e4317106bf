/** Answers questions about telemetry: the last points of satellites, and their past. Runs in the primary. */
import { strict as assert } from 'node:assert'
import type { Catalogue, Stream, TypedMetric } from '../../../protocol/catalogue.js'
import type { Shown, ValueType } from '../../../protocol/value-types.js'
import { jsonAnswer, errorAnswer } from '../../ingress/http/engines/answers.js'
import { cursorText } from '../../ingress/http/query/requests.js'
import type {
  LatestRequest, SatellitesRequest, SeriesRequest, StatusAnswer, TelemetryQuestion
} from '../../ingress/http/api/status-port.js'
import { LimitStates, stateOfValue, worstOf } from '../../limits/limit-states.js'
import type { NumberedLimits } from '../../limits/limit-set.js'
import type { QueryPool } from '../../database/query-pool.js'
import { streamSql } from '../../database/stream-tables.js'
import { isoTime } from '../../pipeline/rows/rows.js'
import { readLatestPoint, readSatellitePage, type LatestPoint, type Value } from '../../queries/latest-points.js'
import { Marks } from '../../queries/marks.js'
import { readNewestValues, type TimedValue } from '../../queries/newest-values.js'
import { readSeries, type BucketSeries, type BucketValues, type Series } from '../../queries/series-query.js'
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

interface ReadSeries {
  readonly range: { readonly fromMicros: number, readonly toMicros: number }
  readonly metrics: readonly TypedMetric[]
  readonly series: Series
}

/** A metric of a series, with lists of equal length: `values`, or aggregates. */
interface ShownColumns extends TypedMetric {
  readonly values: Readonly<Record<string, ReadonlyArray<Shown | null>>>
}

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

  private readonly marks = new Marks()

  constructor (private readonly parts: TelemetryServiceParts) {}

  private async satellites ({ request, format }: QuestionOf<'satellites'>): Promise<StatusAnswer> {
    const { catalogue, queries } = this.parts
    const now = this.parts.now()
    const { version, set } = this.parts.limits()
    const streams = catalogue.live.map((stream) => {
      const qualify = (name: string): string => stream.qualify(name)
      const { limited } = new LimitStates(set, stream.typed.filter(({ metric }) => !metric.retired), qualify)
      return { stream, metrics: plainOf(limited), states: new LimitStates(set, limited, qualify) }
    })
    const { satellites, total, hasMore } = await queries.run((db) =>
      readSatellitePage(db, streams, pageFilter(request, now)))
    const found = satellites.map(({ satellite, points }) => ({
      id: satellite,
      streams: points.flatMap((point, index) => {
        const { stream, states } = streams[index] ?? {}
        if (point === null || stream === undefined || states === undefined) return []
        return [{
          name: stream.name, time: isoTime(point.timeMicros), state: states.stateOf(satellite, point.values)
        }]
      })
    }))
    if (format !== 'json') {
      return rowsAnswer(format, {
        columns: ['satellite_id', 'state', 'stream', 'time'],
        rows: found.flatMap(({ id, streams }) => streams.map(({ name, time, state }) => [id, state, name, time]))
      })
    }
    return jsonAnswer({
      now: isoTime(now),
      total,
      limits_version: version,
      satellites: found.map(({ id, streams }) => ({
        satellite_id: id,
        state: worstOf(streams.map(({ state }) => state)),
        streams: Object.fromEntries(streams.map(({ name, ...rest }) => [name, rest]))
      })),
      next: hasMore ? cursorText(satellites.at(-1)?.satellite ?? '') : null
    })
  }

  private async satellite ({ satellite, streams, format }: QuestionOf<'satellite'>): Promise<StatusAnswer> {
    const now = this.parts.now()
    const { version, set } = this.parts.limits()
    const chosen = streams.map((each) => this.chosen(each.stream, each.metrics))
    const points = await this.parts.queries.run(async (db) => {
      const all: Array<LatestPoint | null> = []
      for (const { stream, metrics } of chosen) {
        all.push(await readLatestPoint(db, { stream, metrics: plainOf(metrics) }, satellite, this.marks))
      }
      return all
    })
    if (points.every((point) => point === null)) {
      return errorAnswer('not_found', { message: 'No point of this satellite is stored.' })
    }
    const found = chosen.flatMap(({ stream, metrics }, index) => {
      const point = points[index] ?? null
      if (point === null) return []
      const limits = new LimitStates(set, metrics, (name) => stream.qualify(name)).limitsOf(satellite)
      const described = metrics.map(({ metric: { name, title, unit, type: typeName }, type }, metric) => {
        const value = point.values[metric] ?? null
        const own = limits[metric] ?? {}
        const state = stateOfValue(value, own, type)
        return { name, title, unit, type: typeName, value: shown(value, type), state, limits: own }
      })
      const state = worstOf(described.map((each) => each.state))
      return [{ name: stream.name, time: isoTime(point.timeMicros), state, metrics: described }]
    })
    if (format !== 'json') {
      return rowsAnswer(format, {
        columns: ['satellite_id', 'stream', 'time', 'metric', 'unit', 'value', 'state'],
        rows: found.flatMap(({ name, time, metrics }) => metrics.map((each) => (
          [satellite, name, time, each.name, each.unit, each.value, each.state])))
      })
    }
    return jsonAnswer({
      satellite_id: satellite,
      now: isoTime(now),
      state: worstOf(found.map(({ state }) => state)),
      limits_version: version,
      streams: Object.fromEntries(found.map(({ name, time, state, metrics }) => (
        [name, { time, state, metrics: Object.fromEntries(metrics.map(({ name, ...rest }) => [name, rest])) }])))
    })
  }

  private async series ({ request, format }: QuestionOf<'series'>): Promise<StatusAnswer> {
    const { satellite, stream } = request
    const { range, series, metrics } = await this.read(request)
    const columns = metrics.map((metric, index) => ({ ...metric, values: shownColumns(series, index, metric.type) }))
    if (format !== 'json') return rowsAnswer(format, rowsOf(series, columns))
    const isRaw = series.kind === 'raw'
    const described = columns.map(({ metric: { name, title, unit, type }, values }) => (
      [name, { title, unit, type, ...values }] as const
    ))
    return jsonAnswer({
      satellite_id: satellite,
      stream,
      from: isoTime(range.fromMicros),
      to: isoTime(range.toMicros),
      kind: series.kind,
      source: streamSql(series.source, stream),
      bucket_ms: isRaw ? null : series.widthMicros / 1000,
      time_ms: series.timesMicros.map((micros) => micros / 1000),
      counts: isRaw ? null : series.counts,
      metrics: Object.fromEntries(described)
    })
  }

  private async latest (request: LatestRequest): Promise<StatusAnswer> {
    const { satellite, countMax } = request
    const { stream, metrics: typed } = this.chosen(request.stream, [request.metric])
    const metrics = plainOf(typed)
    const [metric] = metrics
    if (metric === undefined) return jsonAnswer([])
    const values = await this.parts.queries.run(async (db, leftMs): Promise<TimedValue[]> => {
      const last = await readLatestPoint(db, { stream, metrics }, satellite, this.marks)
      if (last === null) return []
      const { timeMicros, values: [value = null] } = last
      // Nothing is newer than the last point, whatever the clocks of satellites say.
      const toMicros = Math.min(request.toMicros ?? timeMicros, timeMicros)
      const fromMicros = request.fromMicros ?? toMicros - LATEST_RANGE_MICROS
      if (countMax === 1 && toMicros === timeMicros && fromMicros <= timeMicros && value !== null) {
        return [{ timeMicros, value }]
      }
      return await readNewestValues(db, { satellite, stream, metric, fromMicros, toMicros, countMax }, leftMs)
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
    { satellite, stream: name, metrics: names, pointsMax, ...given }: SeriesRequest
  ): Promise<ReadSeries> {
    const { stream, metrics } = this.chosen(name, names)
    const toMicros = given.toMicros ?? Math.max(this.parts.now(), (given.fromMicros ?? 0) + 1)
    const range = { fromMicros: given.fromMicros ?? toMicros - RANGE_MICROS, toMicros }
    const filter = { satellite, stream, metrics: plainOf(metrics), ...range, pointsMax }
    const series = await this.parts.queries.run((db, leftMs) => readSeries(db, filter, leftMs, this.marks))
    return { range, metrics, series }
  }

  /** @param name of a stream that there is: the worker has checked it */
  private chosen (name: string, names: readonly string[]): {
    readonly stream: Stream, readonly metrics: readonly TypedMetric[]
  } {
    const stream = this.parts.catalogue.stream(name)
    assert(stream !== null, 'workers have the catalogue of the primary')
    return {
      stream, metrics: names.flatMap((each) => stream.typed.find(({ metric }) => metric.name === each) ?? [])
    }
  }
}

function pageFilter (
  { match, staleMs, countMax, after }: SatellitesRequest, now: number
): Parameters<typeof readSatellitePage>[2] {
  return { match, beforeMicros: staleMs === null ? null : now - staleMs * 1000, after, countMax }
}

function plainOf (metrics: readonly TypedMetric[]): Array<TypedMetric['metric']> {
  return metrics.map(({ metric }) => metric)
}

function shown (value: Value, type: ValueType): Shown | null {
  return value === null ? null : type.show(value)
}

/** Aggregates that are values of the metric; the others are numbers. */
const VALUES: readonly string[] = ['min', 'max', 'last'] satisfies Array<keyof BucketValues>

function shownColumns (series: Series, index: number, type: ValueType): ShownColumns['values'] {
  const show = (values: readonly Value[] = []): Array<Shown | null> => values.map((value) => shown(value, type))
  if (series.kind === 'raw') return { values: show(series.values[index]) }
  return Object.fromEntries(Object.entries(series.values[index] ?? {}).map(([name, values]) => (
    [name, VALUES.includes(name) ? show(values) : values])))
}

function rowsOf (series: Series, columns: readonly ShownColumns[]): Rows {
  const isRaw = series.kind === 'raw'
  const lists = columns.flatMap(({ metric: { name }, values }) => (
    Object.entries(values).map(([each, list]) => ({ name: isRaw ? name : `${name}_${each}`, list }))
  ))
  return {
    columns: ['time', ...isRaw ? [] : ['count'], ...lists.map(({ name }) => name)],
    rows: series.timesMicros.map((time, row) => [
      isoTime(time), ...isRaw ? [] : [series.counts[row] ?? null], ...lists.map(({ list }) => list[row] ?? null)
    ])
  }
}

/** Open MCT's form of a value: states and bools are numbers, which its enumerations name. */
function datum (timeMicros: number, value: number): object {
  return { timestamp: timeMicros / 1000, value }
}

/**
 * Two values of each bucket: its minimum at its beginning, its maximum in its middle. One if they are equal, or if it
 * has only a last.
 */
function extremes ({ timesMicros, widthMicros, values: [metric] }: BucketSeries): object[] {
  return timesMicros.flatMap((time, index) => {
    const { min: low, max: high, last } = metric ?? {}
    const [min, max] = [(low ?? last)?.[index] ?? null, (high ?? last)?.[index] ?? null]
    if (min === null || max === null) return []
    return min === max ? [datum(time, min)] : [datum(time, min), datum(time + widthMicros / 2, max)]
  })
}
