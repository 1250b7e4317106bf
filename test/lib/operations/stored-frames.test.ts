/** The border between the frames that a database has and those that it does not, wherever it lies. */
import t from 'tap'
import { findStoredFrames } from '../../../lib/operations/stored-frames.js'
import type { Frame } from '../../../lib/spool/writer.js'
import { connect } from '../../../lib/database/connection.js'
import { migrateSchema } from '../../../lib/schema/migrate.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/postgres.js'
import { encodePayload, type PlainRow } from '../../support/rows.js'

const EPOCH = 7
const PARTS = [3, 1, 5, 2]
const FRAMES = 11
const BEGIN_MICROS = BigInt(Date.now()) * 1000n

/** Two rows of the same time in each frame, and in each frame the same times but for a microsecond. */
const rowsOf = (sequence: number): PlainRow[] => ['B', 'A'].map((id) => ({ id: Buffer.from(id), timeMicros: BEGIN_MICROS + BigInt(sequence), values: [sequence, null, null] }))

const frameOf = (sequence: number): Frame => ({
  segment: { name: '', path: '', epoch: EPOCH, firstSequence: 1, base: { epoch: 0, sequence: 0 }, bytes: 0 },
  offset: 0,
  epoch: EPOCH,
  sequence,
  rows: 2,
  appendedAtMs: 0,
  payload: encodePayload(rowsOf(sequence)),
  batch: null
})

async function * parts (): AsyncGenerator<readonly Frame[]> {
  let sequence = 0
  for (const length of PARTS) yield await Promise.resolve(Array.from({ length }, () => frameOf(++sequence)))
}

const url = await createTestDatabase(await startTestPostgres(t))
const db = await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
t.teardown(() => db.close())
await migrateSchema(db, { log: silentLog })
await db.query("SELECT orbitstream_ensure_partitions(now() - interval '1 day', now() + interval '1 day')")
const store = async (sequence: number, id: string): Promise<void> => {
  await db.query("INSERT INTO telemetry (time, satellite_id, battery_charge_percent) VALUES (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2, $3)", [String(BEGIN_MICROS + BigInt(sequence)), id, sequence])
}

t.test('it is found at every place, within parts and between them', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (let stored = 0; stored <= FRAMES; stored++) {
    if (stored > 0) for (const id of ['A', 'B']) await store(stored, id)
    t.same(await findStoredFrames(db, parts()), { through: stored === 0 ? null : { epoch: EPOCH, sequence: stored }, rows: 2 * stored, rowsBehind: 0 }, `${stored} frames`)
  }
})

t.test('rows like those of a frame behind it are counted, and move nothing', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (const sequence of [1, 2, 3, 4, 5]) for (const id of ['A', 'B']) await store(sequence, id)
  await store(6, 'A')
  await store(8, 'A')
  t.same(await findStoredFrames(db, parts()), { through: { epoch: EPOCH, sequence: 5 }, rows: 10, rowsBehind: 2 })
})

t.test('a row that differs in a value is another one', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (const id of ['A', 'B']) await store(1, id)
  await db.query("UPDATE telemetry SET battery_charge_percent = NULL WHERE satellite_id = 'B'")
  t.same(await findStoredFrames(db, parts()), { through: null, rows: 0, rowsBehind: 1 })
})
