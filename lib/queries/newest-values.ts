/**
 * The newest values of one metric of a satellite in a range of time, newest first. There is no index for them, so the
 * range is searched from its end, in windows that grow: what is far away costs one and a half times as much as if one
 * had known where it is.
 */
import type { Metric, Stream } from '../../protocol/catalogue.js'
import { numberOf } from '../database/metric-columns.js'
import { identifier } from '../database/quote.js'
import type { Database } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'
import type { TimeLeft } from '../database/query-pool.js'
import { isoTime } from '../pipeline/rows/rows.js'
import { MICROS } from './latest-points.js'

export interface NewestFilter {
  readonly satellite: string
  readonly stream: Stream
  readonly metric: Metric
  /** Microseconds since 1970, inclusive. */
  readonly fromMicros: number
  /** Inclusive. */
  readonly toMicros: number
  readonly countMax: number
}

export interface TimedValue {
  readonly timeMicros: number
  /** As stored. */
  readonly value: number
}

const FIRST_WINDOW_MICROS = 60e6
const GROWTH = 8

export async function readNewestValues (
  db: Database, filter: NewestFilter, leftMs: TimeLeft
): Promise<TimedValue[]> {
  const { satellite, stream, metric, fromMicros, toMicros, countMax } = filter
  const { points } = tablesOf(stream.name)
  const column = identifier(metric.name)
  const found: TimedValue[] = []
  let end = toMicros + 1
  for (let window = FIRST_WINDOW_MICROS; end > fromMicros && found.length < countMax; window *= GROWTH) {
    await db.query(`SET statement_timeout = ${leftMs()}`)
    const start = Math.max(fromMicros, end - window)
    const { rows } = await db.query<{ _micros: number, value: number }>(`
      SELECT ${MICROS}, ${numberOf(metric)} AS value FROM ${points}
      WHERE satellite_id = $1 AND "time" >= $2 AND "time" < $3 AND ${column} IS NOT NULL
      ORDER BY "time" DESC LIMIT $4`, [satellite, isoTime(start), isoTime(end), countMax - found.length])
    found.push(...rows.map(({ _micros: timeMicros, value }) => ({ timeMicros, value })))
    end = start
  }
  return found
}
