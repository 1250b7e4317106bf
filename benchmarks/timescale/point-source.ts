/**
 * Transactions of a load generated in this process. Rows are encoded and sorted in advance, by the product's own code;
 * only their times are updated per transaction, so that generating them takes no time from the database.
 */
import { RowBuffer, rowEnd, rowTimeMicros, writeRowTime } from '../../lib/pipeline/rows/rows.js'
import type { StreamRows } from '../../lib/drain/commit.js'
import { BUCKET_MICROS, COPY_HEADER, CopySorter, type CopyStream } from '../../lib/drain/copy-rows.js'
import { PointColumns } from '../../protocol/columns.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { pointOf } from '../points.js'

/** Distinct transactions; after them the same ones repeat, with other times. */
const CYCLE = 10
const ROW_BYTES = 80

export class PointSource {
  private readonly templates: ReadonlyArray<{ readonly all: TimedStream, readonly newest: TimedStream }>

  /** @param rows points per transaction @param spanMs span of their evenly spaced times */
  constructor (private readonly rows: number, private readonly satellites: number, private readonly spanMs: number) {
    const table = new SatelliteTable()
    this.templates = Array.from({ length: CYCLE }, (_, number) => {
      const sorter = new CopySorter()
      const payloads = [this.encode(table, number)]
      const all = new TimedStream({ copy: sorter.sort(payloads, rows), copyRows: rows })
      return { all, newest: new TimedStream(sorter.times(payloads, rows).newest()) }
    })
  }

  /** The rows of a transaction, starting at this time; valid until the cycle repeats. */
  transaction (number: number, fromMs: number): StreamRows {
    const { all, newest } = this.template(number)
    const fromMicros = Math.round(fromMs * 1000)
    const last = Math.floor((fromMicros + this.spanMs * 1000) / BUCKET_MICROS)
    const bucketsMicros: number[] = []
    for (let bucket = Math.floor(fromMicros / BUCKET_MICROS); bucket <= last; bucket++) {
      bucketsMicros.push(bucket * BUCKET_MICROS)
    }
    return {
      ...all.from(fromMicros),
      stream: BUILT_IN.telemetry,
      times: { lowestMicros: fromMicros, bucketsMicros, newest: () => newest.from(fromMicros) }
    }
  }

  /** Sum of storage_usage_mb over the first transactions; exact, since all values are halves. */
  storageSum (transactions: number): number {
    const { rows, satellites } = this
    const sums = this.templates.map((_, number) => Array.from({ length: rows }, (_, row) =>
      pointOf(number * rows + row, satellites).storage).reduce((sum, value) => sum + value, 0))
    return sums.reduce((sum, part, number) => sum + part * Math.ceil((transactions - number) / CYCLE), 0)
  }

  private template (number: number): PointSource['templates'][number] {
    return this.templates[number % CYCLE] as PointSource['templates'][number]
  }

  /** With times starting in 1970. */
  private encode (table: SatelliteTable, number: number): Buffer {
    const { rows, spanMs } = this
    const columns = new PointColumns(BUILT_IN.telemetry.schema, rows)
    for (let row = 0; row < rows; row++) {
      const { satelliteId, battery, storage, signal } = pointOf(number * rows + row, this.satellites)
      const satellite = table.byId(satelliteId)
      if (satellite === null) throw new RangeError(`${satelliteId} is not an id`)
      columns.values.set(
        [battery, storage, signal],
        columns.push(satellite, Math.round(spanMs * 1000 * row / rows)) * BUILT_IN.telemetry.schema.metricCount
      )
    }
    const buffer = new RowBuffer(rows * ROW_BYTES)
    buffer.append(columns)
    return buffer.take()
  }
}

/** A COPY stream whose rows can be shifted in time. */
class TimedStream {
  private readonly copy: Buffer
  private readonly view: DataView
  private readonly offsets: Uint32Array
  private readonly agesMicros: Float64Array

  /** @param stream with times starting in 1970 */
  constructor ({ copy, copyRows }: CopyStream) {
    this.copy = Buffer.from(copy)
    this.view = new DataView(this.copy.buffer, this.copy.byteOffset, this.copy.length)
    this.offsets = new Uint32Array(copyRows)
    this.agesMicros = new Float64Array(copyRows)
    for (let row = 0, at = COPY_HEADER.length; row < copyRows; row++, at = rowEnd(this.view, at)) {
      this.offsets[row] = at
      this.agesMicros[row] = rowTimeMicros(this.view, at)
    }
  }

  from (fromMicros: number): CopyStream {
    const { copy, view, offsets, agesMicros } = this
    for (let row = 0; row < offsets.length; row++) {
      writeRowTime(view, offsets[row] as number, fromMicros + (agesMicros[row] as number))
    }
    return { copy, copyRows: offsets.length }
  }
}
