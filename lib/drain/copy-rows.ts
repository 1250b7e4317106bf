/**
 * The rows of many frames, sorted by satellite and time, as one COPY … (FORMAT binary) stream.
 *
 * The BRIN index (satellite_id, time) depends on sorted COPYs: they put the rows of a satellite into few pages. The
 * byte order of ids is the order of `text COLLATE "C"`.
 *
 * How: walk the rows once, recording the start, end, time and satellite of each; rank satellites by their bytes (kept
 * between COPYs, so that a known satellite costs one lookup); count the rows per rank; place each row by counting sort,
 * which is stable; sort the rows of a satellite again if they did not arrive in time order. Then copy the rows into one
 * buffer.
 */
import {
  HEAD_FIELDS, NULL_BYTES, ROW_ID_LENGTH_OFFSET, ROW_ID_OFFSET, rowEnd as telemetryRowEnd, rowTimeMicros
} from '../pipeline/rows/rows.js'
import { SatelliteRanks } from './satellite-ranks.js'

/** Width of a bucket of rollup_dirty. */
export const BUCKET_MICROS = 10_000_000

/** A row has metrics that the table lacks: another catalogue was in force when it was written. */
export class SurplusFields extends Error {
  constructor (row: number, table: number) {
    const metrics = (fields: number): number => fields - HEAD_FIELDS
    super(`a row has ${metrics(row)} metrics, but the catalogue in force has ${metrics(table)}: it was ` +
      'written under a later catalogue; apply that one ("orbitstream-ingest catalogue apply"), restart, then run ' +
      '"orbitstream-ingest quarantine retry"')
  }
}

/** A complete COPY stream. */
export interface CopyStream {
  readonly copy: Buffer
  readonly copyRows: number
}

/** Times of the rows of a COPY, in case some are late. */
export interface RowTimes {
  /** The earliest time, microseconds since 1970. */
  readonly lowestMicros: number
  /** Starts of the buckets of the rows, microseconds since 1970; distinct, unordered. */
  readonly bucketsMicros: readonly number[]
  /** The newest row of each satellite; overwrites the sorter's stream. */
  newest (): CopyStream
}

/** "PGCOPY\n\xff\r\n\0", flags 0, no header extension. Source: PostgreSQL manual, "COPY", "Binary Format". */
export const COPY_HEADER = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex')
/** A tuple with field count -1. */
export const COPY_TRAILER = Buffer.from('ffff', 'hex')

/** Larger pieces use Buffer.copy; for one row the call alone costs more than a loop: 150 ns against 54 for 68 bytes. */
const LOOP_BYTES_MAX = 256

/** Copies source[from, to) to target[at, …). */
function copyShort (source: DataView, from: number, to: number, target: DataView, at: number): void {
  let read = from
  let write = at
  for (; read + 4 <= to; read += 4, write += 4) target.setInt32(write, source.getInt32(read, true), true)
  for (; read < to; read++, write++) target.setUint8(write, source.getUint8(read))
}

/** The location of each row, in columns; reused by every COPY. */
class RowIndex {
  payload = new Uint32Array(4096)
  start = new Uint32Array(4096)
  end = new Uint32Array(4096)
  /** The satellite's key during the walk, then its rank. */
  rank = new Uint32Array(4096)
  time = new Float64Array(4096)

  reserve (rows: number): void {
    if (rows <= this.start.length) return
    const capacity = Math.max(rows, this.start.length * 2)
    this.payload = new Uint32Array(capacity)
    this.start = new Uint32Array(capacity)
    this.end = new Uint32Array(capacity)
    this.rank = new Uint32Array(capacity)
    this.time = new Float64Array(capacity)
  }
}

export class CopySorter {
  private readonly index = new RowIndex()
  private readonly ranks = new SatelliteRanks()
  private order = new Uint32Array(4096)
  private bounds = new Uint32Array(1024)
  private stream = Buffer.alloc(0)
  private streamView = new DataView(this.stream.buffer, 0, 0)
  /** Of the last sorted payloads. */
  private views: DataView[] = []

  /** Bytes of the nulls that the rows sorted last lack. */
  private paddingBytes = 0

  /**
   * @param rowEnd finds the end of a row; all kinds of rows begin with the fields of writeRowHead()
   * @param fields of the table; rows written before it had all of them get nulls at their end, and sort() throws
   * SurplusFields if one has more. 0: every row has all
   */
  constructor (
    private readonly rowEnd: (view: DataView, start: number) => number = telemetryRowEnd, private readonly fields = 0
  ) {}

  /**
   * @param payloads batches of complete rows
   * @param rows their total number of rows
   * @returns the complete COPY stream, with header and trailer; valid until the next call
   */
  sort (payloads: readonly Buffer[], rows: number): Buffer {
    this.locate(payloads, rows)
    this.ranks.toRanks(this.index.rank, rows)
    if (this.order.length < rows) this.order = new Uint32Array(this.index.start.length)
    const order = this.order.subarray(0, rows)
    // Counting sort visits every known satellite, which does not pay for a few rows among very many satellites.
    if (rows * 4 < this.ranks.highest) this.placeByComparing(order)
    else this.placeByCounting(order)
    return this.write(payloads, order)
  }

  /** The times of the last sorted rows. @param payloads those of the last sort */
  times (payloads: readonly Buffer[], rows: number): RowTimes {
    const { time } = this.index
    const buckets = new Set<number>()
    let lowestMicros = Infinity
    let last = NaN
    for (let row = 0; row < rows; row++) {
      const micros = time[row] as number
      if (micros < lowestMicros) lowestMicros = micros
      const bucket = Math.floor(micros / BUCKET_MICROS)
      // Nearly always the previous bucket: no lookup.
      if (bucket !== last) buckets.add(last = bucket)
    }
    return {
      lowestMicros,
      bucketsMicros: Array.from(buckets, bucket => bucket * BUCKET_MICROS),
      newest: () => this.newest(payloads, rows)
    }
  }

  /** The last row of each satellite: its rows are adjacent and in time order. */
  private newest (payloads: readonly Buffer[], rows: number): CopyStream {
    const { rank } = this.index
    const order = this.order.subarray(0, rows)
    const picked = order.filter((row, at) => at + 1 === rows || rank[order[at + 1] as number] !== rank[row])
    return { copy: this.write(payloads, picked), copyRows: picked.length }
  }

  private locate (payloads: readonly Buffer[], rows: number): void {
    const { index, ranks } = this
    index.reserve(rows)
    ranks.begin(rows)
    this.views = payloads.map(({ buffer, byteOffset, length }) => new DataView(buffer, byteOffset, length))
    const { fields } = this
    this.paddingBytes = 0
    let row = 0
    for (let p = 0; p < payloads.length; p++) {
      const payload = payloads[p] as Buffer
      const view = this.views[p] as DataView
      for (let at = 0; at < payload.length; row++) {
        const end = this.rowEnd(view, at)
        index.payload[row] = p
        index.start[row] = at
        index.end[row] = end
        index.time[row] = rowTimeMicros(view, at)
        if (fields !== 0 && view.getInt16(at) !== fields) this.pad(view.getInt16(at))
        const idStart = at + ROW_ID_OFFSET
        index.rank[row] = ranks.keyOf(payload, idStart, idStart + view.getInt32(at + ROW_ID_LENGTH_OFFSET))
        at = end
      }
    }
    if (row !== rows) throw new RangeError(`frames declare ${rows} rows, their payloads contain ${row}`)
  }

  /** Counts the nulls of a row that does not have all fields. */
  private pad (rowFields: number): void {
    if (rowFields > this.fields) throw new SurplusFields(rowFields, this.fields)
    this.paddingBytes += (this.fields - rowFields) * NULL_BYTES
  }

  private placeByCounting (order: Uint32Array): void {
    const { rank } = this.index
    const { highest } = this.ranks
    if (this.bounds.length <= highest) this.bounds = new Uint32Array(highest * 2)
    const ends = this.bounds.fill(0, 0, highest + 1)
    for (let row = 0; row < order.length; row++) (ends[rank[row] as number] as number)++
    for (let r = 1; r <= highest; r++) (ends[r] as number) += ends[r - 1] as number
    // Backwards, to keep the order of arrival within a satellite.
    for (let row = order.length - 1; row >= 0; row--) order[--(ends[rank[row] as number] as number)] = row
    this.sortGroupsByTime(order)
  }

  private placeByComparing (order: Uint32Array): void {
    const { rank, time } = this.index
    for (let row = 0; row < order.length; row++) order[row] = row
    order.sort((a, b) =>
      (rank[a] as number) - (rank[b] as number) || (time[a] as number) - (time[b] as number) || a - b)
  }

  private sortGroupsByTime (order: Uint32Array): void {
    const { rank, time } = this.index
    const count = order.length
    for (let from = 0; from < count;) {
      const group = rank[order[from] as number]
      let to = from + 1
      let sorted = true
      while (to < count && rank[order[to] as number] === group) {
        if ((time[order[to] as number] as number) < (time[order[to - 1] as number] as number)) sorted = false
        to++
      }
      if (!sorted) order.subarray(from, to).sort((a, b) => (time[a] as number) - (time[b] as number) || a - b)
      from = to
    }
  }

  private write (payloads: readonly Buffer[], order: Uint32Array): Buffer {
    const { payload, start, end } = this.index
    const count = order.length
    let bytes = COPY_HEADER.length + COPY_TRAILER.length + this.paddingBytes
    for (const { length } of payloads) bytes += length
    if (this.stream.length < bytes) this.renewStream(bytes + (bytes >>> 2))
    const { stream, streamView, views } = this
    let at = COPY_HEADER.copy(stream)
    if (this.paddingBytes > 0) return this.writePadded(at, payloads, order)
    for (let i = 0; i < count;) {
      const row = order[i] as number
      const from = start[row] as number
      let to = end[row] as number
      // Adjacent rows are copied as one piece.
      for (i++; i < count; i++) {
        const next = order[i] as number
        if (start[next] !== to || payload[next] !== payload[row]) break
        to = end[next] as number
      }
      const source = payload[row] as number
      if (to - from > LOOP_BYTES_MAX) (payloads[source] as Buffer).copy(stream, at, from, to)
      else copyShort(views[source] as DataView, from, to, streamView, at)
      at += to - from
    }
    at += COPY_TRAILER.copy(stream, at)
    return stream.subarray(0, at)
  }

  /** As write(), of rows that lack fields: one by one, nulls behind each. */
  private writePadded (begin: number, payloads: readonly Buffer[], order: Uint32Array): Buffer {
    const { index: { payload, start, end }, stream, streamView, fields } = this
    let at = begin
    for (const row of order) {
      const source = payloads[payload[row] as number] as Buffer
      const lacking = fields - source.readInt16BE(start[row])
      const from = at
      at += source.copy(stream, at, start[row], end[row])
      streamView.setInt16(from, fields)
      for (let nulls = 0; nulls < lacking; nulls++, at += NULL_BYTES) streamView.setInt32(at, -1)
    }
    at += COPY_TRAILER.copy(stream, at)
    return stream.subarray(0, at)
  }

  private renewStream (bytes: number): void {
    this.stream = Buffer.allocUnsafeSlow(bytes)
    this.streamView = new DataView(this.stream.buffer, 0, bytes)
  }
}
