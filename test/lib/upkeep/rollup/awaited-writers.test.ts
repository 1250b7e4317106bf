import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parseCatalogue } from '../../../../lib/catalogue/catalogue-file.js'
import { connect } from '../../../../lib/database/connection.js'
import type { Database, Session } from '../../../../lib/database/database.js'
import { inStream } from '../../../../lib/database/stream-tables.js'
import { migrate } from '../../../../lib/schema/migrate.js'
import { OPTIONS, SETTINGS } from '../../../support/database/migrated.js'
import {
  createTestDatabase, silentLog, startTestPostgres, temporaryDirectory
} from '../../../support/database/postgres.js'
import { setBack } from '../../../support/database/retention.js'

const server = await startTestPostgres(t)
const url = await createTestDatabase(server)

async function open (): Promise<Database> {
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  return database
}

const SQL = fileURLToPath(new URL('../../../../../sql', import.meta.url))

const [database, first, second] = [await open(), await open(), await open()]
const parsed = parseCatalogue(`{ catalogue: 1, streams: {
  telemetry: { metrics: { a: { id: 1 } } }, power: { id: 2, metrics: { b: { id: 1 } } } } }`)
const proposed = parsed.ok ? parsed.catalogue : null
// As before there was this: all streams that there are get it.
const earlier = join(await temporaryDirectory(t), 'sql')
await cp(SQL, earlier, { recursive: true })
await rm(join(earlier, '0018-awaited-writers.common.sql'))
await migrate(database, { ...SETTINGS, log: silentLog, proposed, directory: earlier })
await migrate(database, { ...SETTINGS, log: silentLog })

interface Marks {
  readonly closing: Date
  readonly latest_watermark: Date
  readonly watermark: Date
}

async function marksOf (session: Session): Promise<Marks> {
  const { rows: [marks] } = await session.query<Marks>('SELECT * FROM rollup_state')
  return marks as Marks
}

/** A transaction that has stored a row, and goes on. */
async function begin (writer: Session, stream: string): Promise<void> {
  await writer.query('BEGIN')
  await writer.query("SELECT orbitstream_note_rows(now(), '{}')")
  await writer.query(`INSERT INTO public.${stream} VALUES (now(), 'A', 1)`)
}

async function rollUp (session: Session): Promise<Marks> {
  await session.query('SELECT orbitstream_begin_roll_up()')
  await session.query('SELECT orbitstream_roll_up(8640)')
  return await marksOf(session)
}

for (const stream of ['telemetry', 'power']) {
  t.test(`rollups advance although one writer or another is always storing: ${stream}`, async (t) => {
    const session = inStream(database, stream)
    const [one, other] = [inStream(first, stream), inStream(second, stream)]
    if (stream === 'telemetry') await setBack(database, '1 hour')
    const before = await marksOf(session)
    await begin(one, stream)
    const held = await rollUp(session)
    t.ok(held.closing > before.closing)
    t.same(held.watermark, before.watermark, 'a writer may still add rows before it')
    await begin(other, stream)
    t.same((await rollUp(session)).closing, held.closing, 'it waits for this writer first')
    await one.query('COMMIT')
    const { closing, latest_watermark: latest } = await rollUp(session)
    t.same([closing, latest], [held.closing, held.closing], 'the other one knows of it')
    t.ok((await rollUp(session)).closing > held.closing, 'and is waited for next')
    await other.query('COMMIT')
    const done = await rollUp(session)
    t.same(done.latest_watermark, done.closing)
    t.equal((await session.query('SELECT * FROM satellites_latest')).rowCount, 1)
  })
}

t.test('a clock that was ahead is not waited for', async (t) => {
  await begin(first, 'telemetry')
  await rollUp(database)
  await database.query("UPDATE rollup_state SET closing = now() + interval '1 year'")
  t.ok((await rollUp(database)).closing < new Date())
  await first.query('COMMIT')
  const done = await rollUp(database)
  t.same(done.latest_watermark, done.closing)
})
