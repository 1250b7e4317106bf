/**
 * Exports the points of a time range as CSV or NDJSON, ordered by time and id, in constant memory.
 *
 *   [ slice ][ slice ][      slice      ][ slice ] …      each at most tens of thousands of rows, whatever the density
 *
 * A slice is one COPY, whose bytes are passed on as the server formats them, no faster than they are read. So no
 * snapshot outlives a slice: a long one would keep the server from removing old versions of the rows that every
 * transaction of the workers updates, and partitions from being dropped. The width of a slice follows the density of
 * the rows: a slice is counted first, up to its maximum, and divided if it has more, or if counting takes too long.
 * Where that happened, slices widen again slowly: a rare satellite, among many, is slow to count at any time.
 *
 * While points come in, an export takes a share of its time only (ExportPace): slices are smaller, and a pause follows
 * each, in proportion to what it took of the server and of this process. The client's time does not count. Pieces are
 * passed on one per turn of the event loop, so whatever else is due comes in between.
 *
 * Values are written as senders may write them, so that an export can be sent again.
 * Rows that arrive with times that were already passed are not in the export.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import type { Metric, Stream } from '../../protocol/catalogue.js'
import { sentOf } from '../database/metric-columns.js'
import { identifier, literal } from '../database/quote.js'
import { isUnanswered } from '../database/connection.js'
import type { DatabaseConnection } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'
import { isoTime } from '../pipeline/rows/rows.js'

export interface ExportFilter {
  /** Null: all satellites. */
  readonly satellite: string | null
  readonly stream: Stream
  /** In the order of the columns. */
  readonly metrics: readonly Metric[]
  /** Microseconds since 1970, inclusive. */
  readonly fromMicros: number
  /** Exclusive. */
  readonly toMicros: number
}

export type ExportFormat = 'csv' | 'ndjson'

/** How much of its time an export may take; may change at any time. */
export interface ExportPace {
  /** 1: all. */
  readonly share: number
}

/** Values of one slice, metrics and the two keys alike: about 4 MB. */
const SLICE_CELLS_MAX = 200_000
/**
 * While points come in, a slice is smaller: it takes some 45 ms of processor time. Much smaller ones would read most
 * rows again and again, because the index finds ranges of 10,000 rows and more.
 */
const SHARED_DIVISOR = 4
/** Over the share: 240 ms for an export that runs alone. So one ends in time, however slow the server is. */
const PAUSE_MS_MAX = 60
const FIRST_WIDTH_MICROS = 60e6
const DIVISOR = 8
/** Of the rows that a slice may have, what its width aims at. */
const FILLED = 0.8
const WIDTH_MICROS_MIN = 1_000
const COUNT_MS_MAX = 500
/** Of a width that took too long to count, what later ones are held to, and how fast that rises, slice by slice. */
const CEILING_SHARE = 0.5
const CEILING_GROWTH = 1.05
/** ISO 8601, as everywhere. */
const TIME = 'to_char("time", \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') AS "time"'
/** COPY quotes nothing with these: they do not occur in JSON. */
const JSON_LINES = "FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02'"

/**
 * Yields the bytes of the export, without a header. Rejects with the server's error, or one that isConnectionError
 * recognises.
 * @param db used by nothing else; unusable after an error, or if not read to the end
 */
export async function * exportRows (
  db: DatabaseConnection, filter: ExportFilter, format: ExportFormat, pace: ExportPace = { share: 1 }
): AsyncGenerator<Buffer> {
  let from = filter.fromMicros
  let width = FIRST_WIDTH_MICROS
  let ceiling = Infinity
  while (from < filter.toMicros) {
    const to = Math.min(from + width, filter.toMicros)
    const cellsMax = pace.share < 1 ? SLICE_CELLS_MAX / SHARED_DIVISOR : SLICE_CELLS_MAX
    const rowsMax = Math.floor(cellsMax / (filter.metrics.length + 2))
    const stopwatch = new Stopwatch()
    const rows = await countRows(db, filter, from, to, rowsMax)
    if ((rows === null || rows > rowsMax) && width > WIDTH_MICROS_MIN) {
      if (rows === null) ceiling = (to - from) * CEILING_SHARE
      width = Math.ceil(Math.min(width, to - from) / DIVISOR)
      await rest(stopwatch.stop(), pace)
      continue
    }
    if (rows !== 0) {
      for await (const piece of db.copyOut(copyStatement(filter, from, to, format))) {
        stopwatch.stop()
        yield piece
        stopwatch.start()
        await nextTurn()
      }
    }
    await rest(stopwatch.stop(), pace)
    ceiling *= CEILING_GROWTH
    if (rows !== null && rows < rowsMax / 2) {
      const growth = Math.min(DIVISOR, rowsMax * FILLED / Math.max(rows, 1))
      width = Math.ceil(Math.min(width * growth, ceiling))
    }
    from = to
  }
}

/** Time without that in which a client reads. */
class Stopwatch {
  private ms = 0
  private startedMs = performance.now()

  start (): void {
    this.startedMs = performance.now()
  }

  /** So far, in milliseconds. */
  stop (): number {
    this.ms += performance.now() - this.startedMs
    return this.ms
  }
}

/** Until a slice has taken no more than its share. */
async function rest (tookMs: number, { share }: ExportPace): Promise<void> {
  if (share >= 1) return
  await pause(Math.min(tookMs * (1 / share - 1), PAUSE_MS_MAX / share))
}

/** Rows between two times, or more than `most` if there are more; null: counting takes too long. */
async function countRows (
  db: DatabaseConnection, filter: ExportFilter, from: number, to: number, most: number
): Promise<number | null> {
  try {
    await db.query(`BEGIN; SET LOCAL statement_timeout = ${COUNT_MS_MAX}`)
    const { rows: [row] } = await db.query<{ count: number }>(
      `SELECT count(*)::integer AS count FROM (${rowsBetween(filter, 'SELECT 1', from, to)} LIMIT ${most + 1}) counted`)
    return row?.count ?? 0
  } catch (error) {
    if (!db.alive || !isUnanswered(error)) throw error
    return null
  } finally {
    if (db.alive) await db.query('ROLLBACK')
  }
}

/** The COPY of the rows between two times, microseconds since 1970. */
export function copyStatement (filter: ExportFilter, from: number, to: number, format: ExportFormat): string {
  const form = format === 'csv' ? 'text' : 'json'
  const values = filter.metrics.map((metric) => `${sentOf(metric, form)} AS ${identifier(metric.name)}`)
  const columns = [TIME, 'satellite_id', ...values].join(', ')
  // The name is qualified because the first column of the result has the same.
  const sorted = `${rowsBetween(filter, `SELECT ${columns}`, from, to)} ORDER BY stored."time", satellite_id`
  return format === 'csv'
    ? `COPY (${sorted}) TO STDOUT (FORMAT csv)`
    : `COPY (SELECT row_to_json(point) FROM (${sorted}) point) TO STDOUT (${JSON_LINES})`
}

/** Printed: COPY takes no parameters, and the planner opens only the partitions and nodes that it sees to matter. */
function rowsBetween ({ satellite, stream }: ExportFilter, select: string, from: number, to: number): string {
  const ofSatellite = satellite === null ? '' : ` AND satellite_id = ${literal(satellite)}`
  return `${select} FROM ${tablesOf(stream.name).points} stored WHERE stored."time" >= '${String(isoTime(from))}' ` +
    `AND stored."time" < '${String(isoTime(to))}'${ofSatellite}`
}

/** The first line of a CSV. */
export function csvHeader ({ metrics }: ExportFilter): string {
  return `${['time', 'satellite_id', ...metrics.map(({ name }) => name)].join(',')}\n`
}
