import t from 'tap'
import { PointColumns } from '../../../protocol/columns.js'
import { SatelliteTable } from '../../../protocol/satellites.js'
import type { AckLevel } from '../../../lib/pipeline/intake.js'
import { METRIC_COUNT, STREAM, TELEMETRY } from '../../support/points/built-in.js'
import { AnomalyColumns } from '../../../lib/limits/anomaly-columns.js'
import { anomalyRowEnd, pointsOfAnomalies } from '../../../lib/pipeline/rows/anomaly-rows.js'
import { BATCH_BYTES_MAX, Batcher, type BatcherSettings } from '../../../lib/pipeline/batcher.js'
import { decodeRows } from '../../support/points/rows.js'
import { anomaliesOf, anomalyCountOf, telemetryOf } from '../../../lib/pipeline/rows/payload.js'
import { rowEnd } from '../../../lib/pipeline/rows/rows.js'
import { ManualJournal } from '../../support/journals/manual-journal.js'

const HOUR_MS = 3_600_000
const satellite = new SatelliteTable().byId('SAT')!

function columnsOf (count: number): PointColumns {
  const columns = new PointColumns(TELEMETRY)
  for (let i = 0; i < count; i++) columns.values[columns.push(satellite, 1.7e15 + i) * 3] = i
  return columns
}

interface Rig {
  readonly journal: ManualJournal
  readonly batcher: Batcher
  /** Rows of closed batches. */
  readonly closed: number[]
  /** Rows of refused batches. */
  readonly refused: number[]
  /** Acknowledgements, as "name outcome". */
  readonly told: string[]
  readonly offer: (count: number, ack?: AckLevel, name?: string) => void
}

function rig (settings: Partial<BatcherSettings> = {}): Rig {
  const journal = new ManualJournal()
  const closed: number[] = []
  const refused: number[] = []
  const batcher = new Batcher(journal, { batchSize: 10, batchTimeoutMs: HOUR_MS, ...settings }, STREAM, {
    onClosed: (rows) => closed.push(rows),
    onRefused: (rows) => refused.push(rows)
  })
  const told: string[] = []
  const offer: Rig['offer'] = (count, ack = 'spooled', name = ack) => {
    batcher.append(columnsOf(count), null, ack, (error) => told.push(`${name} ${String(error)}`))
  }
  return { journal, batcher, closed, refused, told, offer }
}

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

t.test('closes at batchSize at once, without splitting a body', (t) => {
  const { journal, batcher, closed, offer } = rig()
  journal.idle = false
  offer(9)
  t.equal(batcher.rows, 9)
  t.equal(journal.batches.length, 0)
  offer(4)
  t.equal(batcher.rows, 0)
  t.strictSame(journal.batches.map(({ rows }) => rows), [13])
  t.equal(decodeRows(telemetryOf(journal.batches[0]!.payload)).length, 13)
  t.strictSame(closed, [13])
  offer(10)
  t.strictSame(closed, [13, 10])
  batcher.close()
  t.strictSame(closed, [13, 10], 'an empty batch is not closed')
  t.end()
})

t.test('an idle journal gets requests that arrive together as one batch, at the end of the turn', async (t) => {
  const { journal, offer } = rig()
  for (const expected of [[3], [3, 3]]) {
    offer(1)
    offer(2)
    t.equal(journal.batches.length, expected.length - 1, 'not before the end of the turn')
    await turn()
    t.strictSame(journal.batches.map(({ rows }) => rows), expected)
  }
})

t.test('a busy journal gets the batch when it becomes idle', async (t) => {
  const { journal, offer } = rig()
  journal.idle = false
  for (const expected of [[1], [1, 1]]) {
    offer(1)
    await turn()
    t.equal(journal.batches.length, expected.length - 1)
    journal.becomeIdle()
    journal.idle = false
    t.strictSame(journal.batches.map(({ rows }) => rows), expected)
  }
  journal.becomeIdle()
  t.equal(journal.batches.length, 2, 'an empty batch is not appended')
})

t.test('a stream that has rows whenever the journal becomes idle does not keep another one waiting', (t) => {
  const { journal, offer } = rig()
  const append = journal.append.bind(journal)
  journal.append = (batch) => {
    append(batch)
    journal.idle = false
  }
  const other = new Batcher(journal, { batchSize: 10, batchTimeoutMs: HOUR_MS }, STREAM)
  journal.idle = false
  offer(1)
  other.append(columnsOf(2), null, 'spooled', () => {})
  journal.becomeIdle()
  t.strictSame(journal.batches.map(({ rows }) => rows), [1, 2])
  t.end()
})

t.test('a busy journal gets every batch after the timeout, counted from its first row', async (t) => {
  const { journal, offer } = rig({ batchTimeoutMs: 40 })
  journal.idle = false
  for (let batch = 1; batch <= 3; batch++) {
    const startedMs = performance.now()
    offer(1)
    await turn()
    offer(1)
    await journal.holding(batch)
    const tookMs = performance.now() - startedMs
    t.ok(tookMs >= 38, `after ${tookMs} ms`)
    t.equal(journal.batches[batch - 1]?.rows, 2)
  }
})

t.test('closing a batch early cancels its timer', async (t) => {
  const { journal, offer } = rig({ batchSize: 2, batchTimeoutMs: 60 })
  journal.idle = false
  offer(1)
  await new Promise((resolve) => setTimeout(resolve, 30))
  offer(1)
  t.equal(journal.batches.length, 1)
  const startedMs = performance.now()
  offer(1)
  await journal.holding(2)
  t.ok(performance.now() - startedMs >= 58, 'the next batch has the full timeout')
})

t.test('each request is acknowledged once, at the stage it asked for', (t) => {
  const { journal, told, offer } = rig({ batchSize: 3 })
  journal.idle = false
  offer(1, 'received')
  t.strictSame(told, ['received null'])
  offer(1, 'committed')
  offer(1, 'spooled')
  t.strictSame(told, ['received null'])
  journal.batches[0]?.spooled(null)
  t.strictSame(told, ['received null', 'spooled null'])
  journal.batches[0]?.committed(null)
  t.strictSame(told, ['received null', 'spooled null', 'committed null'])
  t.end()
})

t.test('each batch acknowledges its own requests', (t) => {
  const { journal, told, offer } = rig({ batchSize: 1 })
  offer(1, 'spooled', 'first')
  offer(1, 'spooled', 'second')
  journal.batches[1]?.spooled(null)
  t.strictSame(told, ['second null'])
  journal.batches[0]?.spooled(null)
  t.strictSame(told, ['second null', 'first null'])
  t.end()
})

t.test('refused by the journal: every request is told once, the points are counted once', (t) => {
  const { journal, refused, told, offer } = rig({ batchSize: 4 })
  offer(1, 'received')
  offer(1, 'spooled')
  offer(2, 'committed')
  journal.batches[0]?.spooled('overloaded')
  t.strictSame(told, ['received null', 'spooled overloaded', 'committed overloaded'])
  t.strictSame(refused, [4])
  t.end()
})

t.test('journal closed before the commit: requests waiting for it are told that the points are on disk', (t) => {
  const { journal, told, offer } = rig({ batchSize: 2 })
  offer(1, 'spooled')
  offer(1, 'committed')
  journal.batches[0]?.spooled(null)
  journal.batches[0]?.committed('outcome_unknown')
  t.strictSame(told, ['spooled null', 'committed on_disk'])
  t.end()
})

t.test('no request waits past the deadline, and each is told once', async (t) => {
  const { journal, batcher, told, offer } = rig({ batchSize: 2, ackDeadlineMs: 20 })
  const allTold = async (count: number): Promise<void> => {
    while (told.length < count) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  offer(1, 'committed', 'first')
  offer(1, 'spooled', 'second')
  journal.batches[0]?.spooled(null)
  t.equal(batcher.committing, 1)
  await allTold(2)
  t.equal(batcher.committing, 0)
  offer(1, 'committed', 'third')
  offer(1, 'spooled', 'fourth')
  await allTold(4)
  offer(2, 'committed', 'fifth')
  journal.batches[2]?.spooled(null)
  journal.batches[2]?.committed(null)
  for (const batch of journal.batches.slice(0, 2)) {
    batch.spooled(null)
    batch.committed(null)
  }
  t.strictSame(told, ['second null', 'first on_disk', 'fourth outcome_unknown', 'third outcome_unknown', 'fifth null'])
  t.equal(batcher.committing, 0)
})

t.test('a body larger than a batch is split, and acknowledged with its last batch', (t) => {
  const { journal, batcher } = rig({ batchSize: 100_000 })
  const columns = widestColumns(20_000)
  const anomalies = new AnomalyColumns()
  for (let point = 0; point < columns.count; point++) {
    for (let metric = 0; metric < METRIC_COUNT; metric++) anomalies.push(point, metric, 0, 0)
  }
  const told: string[] = []
  for (const name of ['kept', 'halved']) {
    batcher.append(columns, anomalies, 'spooled', (error) => told.push(`${name} ${String(error)}`))
  }
  batcher.close()
  const { batches } = journal
  t.ok(batches.length > 4)
  t.equal(batches.reduce((sum, { rows }) => sum + rows, 0), 40_000)
  for (const { payload, rows } of batches) {
    t.ok(payload.length <= BATCH_BYTES_MAX)
    t.equal(decodeRows(telemetryOf(payload)).length, rows)
    t.equal(anomalyCountOf(payload), rows * METRIC_COUNT)
    const anomalyRows = rowsOf(anomaliesOf(payload), anomalyRowEnd)
    const points = pointsOfAnomalies(rowsOf(telemetryOf(payload), rowEnd), anomalyRows, STREAM)
    t.equal(points.length, rows * METRIC_COUNT)
  }
  for (const batch of batches.slice(0, -1)) batch.spooled(null)
  t.strictSame(told, ['kept null'])
  batches.at(-1)!.spooled('spool_full')
  t.strictSame(told, ['kept null', 'halved outcome_unknown'], 'only part of it is stored')
  t.end()
})

t.test('a body is refused if all of its batches are', (t) => {
  const { journal, batcher } = rig({ batchSize: 100_000 })
  const told: Array<string | null> = []
  batcher.append(widestColumns(20_000), null, 'committed', (error) => told.push(error))
  batcher.close()
  t.ok(journal.batches.length > 1)
  for (const batch of journal.batches) batch.spooled('spool_full')
  t.strictSame(told, ['spool_full'])
  t.end()
})

/** Points with the longest possible rows. */
function widestColumns (count: number): PointColumns {
  const satellite = new SatelliteTable().byId('🛰'.repeat(64))!
  const columns = new PointColumns(TELEMETRY)
  for (let point = 0; point < count; point++) {
    const first = columns.push(satellite, 1.7e15 + point) * METRIC_COUNT
    columns.values.fill(1, first, first + METRIC_COUNT)
  }
  return columns
}

/** Splits rows into views. */
function rowsOf (rows: Buffer, end: (view: DataView, start: number) => number): Buffer[] {
  const view = new DataView(rows.buffer, rows.byteOffset, rows.length)
  const found: Buffer[] = []
  for (let at = 0; at < rows.length;) {
    const next = end(view, at)
    found.push(rows.subarray(at, next))
    at = next
  }
  return found
}
