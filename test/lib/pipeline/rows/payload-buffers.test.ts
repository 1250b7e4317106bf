import assert from 'node:assert/strict'
import t from 'tap'
import * as fc from 'fast-check'
import { METRIC_COUNT, STREAM, TELEMETRY } from '../../../support/points/built-in.js'
import { PointColumns } from '../../../../protocol/columns.js'
import { SatelliteTable } from '../../../../protocol/satellites.js'
import { Batcher } from '../../../../lib/pipeline/batcher.js'
import type { Journal, LedgerPosition } from '../../../../lib/journal/journal.js'
import { MemoryJournal } from '../../../../lib/journal/memory-journal.js'
import { telemetryOf } from '../../../../lib/pipeline/rows/payload.js'
import { PayloadBuffers, roomBytes } from '../../../../lib/pipeline/rows/payload-buffers.js'
import { rowEnd, rowTimeMicros } from '../../../../lib/pipeline/rows/rows.js'
import { POSITION_START } from '../../../../lib/spool/format/position.js'
import { makeDirectory, openTestSpool } from '../../spool/support.js'

t.test('buffers come in few sizes, each slightly larger than requested', (t) => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 50_000_000 }), (bytes) => {
    const room = roomBytes(bytes)
    assert.ok(room >= bytes && (room === 4096 || room < bytes * 1.25 + 1), `${bytes}: ${room}`)
    assert.equal(roomBytes(room), room)
  }))
  const sizes = new Set(Array.from({ length: 1_000_000 }, (_, bytes) => roomBytes(bytes + 1)))
  t.ok(sizes.size <= 33, `${sizes.size} sizes up to a million`)
  t.end()
})

t.test('the memory of a payload is reused once after it is given back', (t) => {
  const rooms = new PayloadBuffers()
  const payload = rooms.payload(5000)
  t.equal(payload.length, 5000)
  rooms.giveBack(payload)
  const [second, third] = [rooms.payload(5100), rooms.payload(5100)]
  t.equal(second.buffer, payload.buffer)
  t.not(third.buffer, payload.buffer)
  rooms.giveBack(payload)
  t.not(rooms.payload(5100).buffer, second.buffer, 'a stale view cannot give back the memory again')
  rooms.giveBack(Buffer.alloc(5000))
  t.end()
})

t.test('a small payload uses no more memory than its bytes', (t) => {
  t.equal(new PayloadBuffers().payload(75).buffer.byteLength, 75)
  t.end()
})

const satellite = new SatelliteTable().byId('SAT-0001')!
const columns = new PointColumns(TELEMETRY)

/** Appends `count` points, with times from `next` up. */
function offer (batcher: Batcher, next: number, count: number): void {
  columns.clear()
  for (let point = 0; point < count; point++) {
    const first = columns.push(satellite, next + point) * METRIC_COUNT
    columns.values.fill(next + point, first, first + METRIC_COUNT)
  }
  batcher.append(columns, null, 'spooled', (error) => { assert.notEqual(error, 'spool_full') })
}

/** The times of all rows. */
function timesOf (payloads: readonly Buffer[]): number[] {
  return payloads.map(telemetryOf).flatMap((rows) => {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.length)
    const times: number[] = []
    for (let at = 0; at < rows.length; at = rowEnd(view, at)) times.push(rowTimeMicros(view, at))
    return times
  })
}

const ROWS = 40_000
/** More than fits in the memory of the smaller spool. */
const WAITING_ROWS_MAX = 20_000

/**
 * Passes batches of many sizes to a drain that starts over now and then. Each row must read as it was appended, also
 * when it is read again.
 */
async function passThrough (journal: Journal, random: (below: number) => number): Promise<void> {
  const batcher = new Batcher(journal, { batchSize: 400, batchTimeoutMs: 60_000 }, STREAM)
  assert.equal(journal.resume(null), null)
  let appended = 0
  let stored = 0
  let position: LedgerPosition = POSITION_START
  while (stored < ROWS) {
    let offers = appended - stored < WAITING_ROWS_MAX ? random(6) : 0
    for (; offers >= 0 && journal.pressure() === 'none'; offers--) {
      const count = 1 + random(random(8) === 0 ? 800 : 200)
      offer(batcher, appended, count)
      appended += count
    }
    batcher.close()
    const run = await journal.take(1 + random(100_000))
    assert.ok(run !== null)
    const times = timesOf(run.payloads)
    // Until it is released, others come and go.
    if (journal.pressure() === 'none') offer(batcher, appended, 200)
    appended += batcher.rows
    batcher.close()
    if (random(4) === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(timesOf(run.payloads), times)
    assert.deepEqual(times, times.map((_, index) => stored + index))
    if (random(5) === 0) {
      assert.equal(journal.resume(position), null)
      continue
    }
    stored += run.rows
    position = { epoch: run.epoch, sequence: run.lastSequence, epochId: run.epochId }
    journal.release(run)
  }
}

/** Reproducible random numbers. */
function randomOf (seed: number): (below: number) => number {
  const generator = fc.sample(fc.infiniteStream(fc.nat()), { seed, numRuns: 1 })[0]!
  return (below) => generator.next().value as number % below
}

t.test('no row changes before it is stored: in memory', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9)
  t.comment(`SEED=${seed}`)
  await passThrough(new MemoryJournal({ spoolId: 'test/0', epoch: 1, bytesMax: 1e9 }), randomOf(seed))
})

t.test('no row changes before it is stored: on disk, within and beyond the memory limit', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9)
  t.comment(`SEED=${seed}`)
  for (const memoryMaxBytes of [1_000_000_000, 400_000]) {
    const { spool } = await openTestSpool(t, { directory: await makeDirectory(t), memoryMaxBytes })
    await passThrough(spool, randomOf(seed))
  }
})

t.test('memory is reused: a journal that keeps up needs only a few buffers', async (t) => {
  const { spool } = await openTestSpool(t, { directory: await makeDirectory(t) })
  const batcher = new Batcher(spool, { batchSize: 1000, batchTimeoutMs: 60_000 }, STREAM)
  spool.resume(null)
  const memories = new Set<ArrayBufferLike>()
  for (let round = 0; round < 50; round++) {
    offer(batcher, round * 1000, 1000)
    const run = await spool.take(1e6)
    for (const { buffer } of run!.payloads) memories.add(buffer)
    spool.release(run!)
  }
  t.ok(memories.size <= 4, `${memories.size} for 50 payloads`)
})
