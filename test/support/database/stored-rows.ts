/** Stores points the way the product does: columns, rows, sorted COPY, one transaction with the ledger. */
import type { LedgerPosition } from '../../../lib/journal/journal.js'
import { RowBuffer } from '../../../lib/pipeline/rows/rows.js'
import { commitRun, enterLedger } from '../../../lib/drain/commit.js'
import { CopySorter } from '../../../lib/drain/copy-rows.js'
import type { Database } from '../../../lib/database/database.js'
import { inspectDirectCompress } from '../../../lib/drain/direct-compress.js'
import { inStream } from '../../../lib/database/stream-tables.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { PointColumns } from '../../../protocol/columns.js'
import { METRIC_COUNT, STREAM, TELEMETRY } from '../points/built-in.js'
import type { Stream } from '../../../protocol/catalogue.js'
import { SatelliteTable, type Satellite } from '../../../protocol/satellites.js'

export interface StoredPoint {
  readonly satellite: string
  readonly timeMs: number
  /** In the order of METRICS. */
  readonly values: ReadonlyArray<number | null>
}

type StorePoints = (points: readonly StoredPoint[]) => Promise<void>

interface StoreOptions {
  readonly directCompress?: boolean
  readonly spool?: string
}

/** Stores points as a worker does; each call of the returned function is one COPY. */
export async function pointStore (db: Database, options: StoreOptions = {}): Promise<StorePoints> {
  const store = await columnStore(db, STREAM, options)
  const table = new SatelliteTable()
  return async (points) => {
    const columns = new PointColumns(TELEMETRY)
    for (const { satellite, timeMs, values } of points) {
      const index = columns.push(table.byId(satellite) as Satellite, timeMs * 1000)
      values.forEach((value, metric) => { columns.values[index * METRIC_COUNT + metric] = value ?? NaN })
    }
    await store(columns)
  }
}

/** The same, of decoded points of any stream. */
export async function columnStore (
  db: Database, stream: Stream, options: StoreOptions = {}
): Promise<(columns: PointColumns) => Promise<void>> {
  const compress = options.directCompress === true ? await inspectDirectCompress(db) : null
  const spool = options.spool ?? 'test'
  const sorter = new CopySorter()
  const days = new Set<number>()
  let from: LedgerPosition = await enterLedger(db, spool)
  return async (columns) => {
    const { count } = columns
    const times = Array.from(columns.timesMicros.subarray(0, count), (micros) => Math.floor(micros / 1000))
      .filter((timeMs) => !days.has(Math.floor(timeMs / DAY_MS)))
    if (times.length > 0) await makePartitions(inStream(db, stream.name), times)
    for (const timeMs of times) days.add(Math.floor(timeMs / DAY_MS))
    const buffer = new RowBuffer(1 << 16)
    buffer.append(columns)
    const payload = buffer.take()
    const sequence = from.sequence + 1
    const frame = { epoch: 1, epochId: null, firstSequence: sequence, lastSequence: sequence }
    const run = { ...frame, rows: count, bytes: payload.length, payloads: [payload] }
    const copy = sorter.sort([payload], count)
    const rows = { streams: [{ stream, copy, copyRows: count, times: sorter.times([payload], count) }], poison: [] }
    const stored = await commitRun(db, { spoolId: spool, from, run }, rows, compress)
    if (!stored) throw new Error('the ledger is elsewhere')
    from = { epoch: 1, sequence, epochId: null }
  }
}
