/** The border between the frames that a database has and those that it does not, wherever it lies. */
import { BUILT_IN } from '../../support/points/built-in.js'
import t from 'tap'
import { findStoredFrames } from '../../../lib/lane/stored-frames.js'
import { POSITION_START } from '../../../lib/spool/format/position.js'
import type { Frame } from '../../../lib/spool/frame.js'
import { connect } from '../../../lib/database/connection.js'
import { migrateSchema } from '../../../lib/schema/migrate.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { encodePayload, type PlainRow } from '../../support/points/rows.js'

const EPOCH = 7
const PARTS = [3, 1, 5, 2]
const FRAMES = 11
const BEGIN_MICROS = BigInt(Date.now()) * 1000n

/** Two rows of the same time in each frame; frames differ by a microsecond. */
const rowsOf = (sequence: number): PlainRow[] => {
  const row = { timeMicros: BEGIN_MICROS + BigInt(sequence), values: [sequence, null, null] }
  return ['B', 'A'].map((id) => ({ ...row, id: Buffer.from(id) }))
}

const SEGMENT = {
  name: '',
  path: '',
  epoch: EPOCH,
  epochId: null,
  firstSequence: 1,
  base: POSITION_START,
  entered: true,
  headerBytes: 0,
  bytes: 0
}

const frameOf = (sequence: number): Frame => ({
  segment: SEGMENT,
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
await makePartitions(db, [-1, 0, 1].map((day) => Date.now() + day * DAY_MS))
const store = async (sequence: number, id: string): Promise<void> => {
  await db.query(
    'INSERT INTO telemetry (time, satellite_id, battery_charge_percent) ' +
    "VALUES (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2, $3)",
    [String(BEGIN_MICROS + BigInt(sequence)), id, sequence])
}

t.test('the boundary is found everywhere, within parts and between them', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (let stored = 0; stored <= FRAMES; stored++) {
    if (stored > 0) for (const id of ['A', 'B']) await store(stored, id)
    const through = stored === 0 ? null : { epoch: EPOCH, sequence: stored }
    t.same(
      await findStoredFrames(db, BUILT_IN, parts()), { through, rows: 2 * stored, rowsBehind: 0 }, `${stored} frames`)
  }
})

t.test('rows like those of a later frame are counted, and do not move the boundary', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (const sequence of [1, 2, 3, 4, 5]) for (const id of ['A', 'B']) await store(sequence, id)
  await store(6, 'A')
  await store(8, 'A')
  t.same(
    await findStoredFrames(db, BUILT_IN, parts()),
    { through: { epoch: EPOCH, sequence: 5 }, rows: 10, rowsBehind: 2 })
})

t.test('a row that differs in a value is another one', async (t) => {
  await db.query('TRUNCATE telemetry')
  for (const id of ['A', 'B']) await store(1, id)
  await db.query("UPDATE telemetry SET battery_charge_percent = NULL WHERE satellite_id = 'B'")
  t.same(await findStoredFrames(db, BUILT_IN, parts()), { through: null, rows: 0, rowsBehind: 1 })
})
