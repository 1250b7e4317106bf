/** Rows that PostgreSQL refuses, into the quarantine and out of it: other rows are stored, and none twice. */
import { BUILT_IN } from '../support/points/built-in.js'
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { retryQuarantined } from '../../lib/operations/quarantine.js'
import { runIngest, type Outcome } from '../support/programs/command.js'
import {
  createTestDatabase, startTestPostgres, temporaryDirectory, type TestPostgres
} from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { rowNow, writeSpool } from '../support/journals/spool-writer.js'

interface Listed {
  readonly total: number
  readonly rows: readonly ListedRow[]
}

interface ListedRow {
  readonly id: string
  readonly sqlState: string
  readonly reason: string
  readonly bytes: string | null
  readonly point: Record<string, unknown> | null
}

const ROWS = 10_000

let server: TestPostgres
t.before(async () => { server = await startTestPostgres(t) })

const open = async (url: string): Promise<Database> =>
  await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })

async function numberOf (db: Database, query: string): Promise<number> {
  const { rows } = await db.query<{ count: string }>(`SELECT count(*)::text AS count FROM ${query}`)
  return Number(rows[0]!.count)
}

t.test('a refused row is quarantined, the other 9,999 are stored; then list, retry, drop', async (t) => {
  const url = await createTestDatabase(server)
  const dataDir = await temporaryDirectory(t)
  const command = async (...words: string[]): Promise<Outcome> =>
    await runIngest(['quarantine', ...words, '--data-dir', dataDir, '--database-url', url])
  const list = async (): Promise<Listed> => JSON.parse((await command('list', '--json')).out) as Listed
  t.match(await command('list'), { code: 1, err: /^error: The database has no OrbitStream tables yet/ })

  const badId = 'BAD\0\u001b[2J'
  const idOf = (number: number): string => number === 4_321 ? badId : `SAT-${number % 100}`
  const rows = Array.from({ length: ROWS }, (_, number) => rowNow(idOf(number), number))
  await writeSpool(dataDir, 0, [rows.slice(0, 3_000), rows.slice(3_000, 6_000), rows.slice(6_000)])
  const ingest = await startIngest(t, { dataDir, databaseUrl: url, args: ['--workers', '1'] })
  await ingest.program.line((line) => line['quarantined'] === 1)
  t.equal(await ingest.program.stop(), 0)
  const db = await open(url)
  t.teardown(() => db.close())
  t.equal(await numberOf(db, 'telemetry'), ROWS - 1)
  t.equal(await numberOf(db, '(SELECT DISTINCT storage_usage_mb FROM telemetry) AS d'), ROWS - 1, 'none twice')
  t.equal(await numberOf(db, 'quarantined_rows'), 1)

  const { total, rows: [bad] } = await list()
  t.equal(total, 1)
  t.match(bad, {
    sqlState: '22021',
    reason: /invalid byte sequence/,
    point: { satellite_id: badId, storage_usage_mb: 4_321 },
    bytes: /^[0-9a-f]+$/
  })
  const shown = await command('list')
  t.match(shown, { code: 0, out: /22021 .*invalid byte sequence[^\n]*BAD[^\n]*\n\n1 row\.\n$/ })
  t.notMatch(shown.out, '\u001b', 'control characters do not reach the terminal')

  t.match(await command('retry', bad!.id), {
    code: 1,
    out: '0 rows stored, 1 row still refused.\n',
    err: /^error: 1 row: invalid byte sequence/
  })
  t.same((await list()).rows.map(({ id }) => id), [bad!.id], 'still there')
  t.match(await command('drop', bad!.id), { code: 2, err: /add --yes/ })
  const dropped = await command('drop', bad!.id, '999', '--yes')
  t.match(dropped, { code: 1, out: '1 row deleted.\n', err: 'error: not in quarantine: 999\n' })
  t.match(await command('list'), { code: 0, out: 'The quarantine is empty.\n' })
  t.match(await command('drop', '--all', '--yes'), { code: 0, out: '0 rows deleted.\n' })
  t.equal(await numberOf(db, 'telemetry'), ROWS - 1)
})

t.test('accepted rows leave the quarantine as they are stored; extreme times do not affect others', async (t) => {
  const url = await createTestDatabase(server)
  const dataDir = await temporaryDirectory(t)
  const place = ['--data-dir', dataDir, '--database-url', url]
  t.match(await runIngest(['migrate', ...place]), { code: 0 })
  const db = await open(url)
  t.teardown(() => db.close())
  await db.query("ALTER TABLE telemetry ADD CONSTRAINT sane CHECK (satellite_id NOT LIKE 'ODD-%')")
  const wild = { ...rowNow('WILD', 50), timeMicros: 946_684_800_000_000n + 2n ** 63n - 2n ** 20n }
  const past = { ...rowNow('PAST', 60), timeMicros: BigInt(Date.UTC(2001, 0, 1)) * 1000n }
  await writeSpool(dataDir, 0, [
    [rowNow('EVEN', 0), rowNow('ODD-1', 1), wild, rowNow('ODD-3', 3), past],
    [rowNow('BAD\0', 9), rowNow('ODD-5', 5)]
  ])
  const drained = await runIngest(['spool', 'drain', ...place])
  t.match(drained, { code: 0, out: /^slot-0: 2 rows stored, 5 refused by PostgreSQL \(see quarantine list\), empty$/m })
  const insert = 'INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row, row_bytes) VALUES '
  await db.query(`${insert} ('first-release', 0, 0, '23514', 'first release', '{"satellite_id":null}', NULL)`)
  await db.query(`${insert} ('x', 0, 0, '22000', 'another format', NULL, '\\x0001')`)
  const listed = JSON.parse((await runIngest(['quarantine', 'list', '--json', '--limit', '3', ...place])).out) as Listed
  const newest = [{ point: null }, { point: { satellite_id: null }, bytes: null }, { id: /^\d+$/ }]
  t.match(listed, { total: 7, rows: newest })
  t.match((await runIngest(['quarantine', 'list', '--limit', '3', ...place])).out, /\n\nThe newest 3 of 7 rows\.\n$/)

  const { rows: odd } = await db.query<{ id: string }>(
    "SELECT id::text FROM quarantined_rows WHERE row->>'satellite_id' LIKE 'ODD-%' ORDER BY quarantined_rows.id")
  t.equal(odd.length, 3)
  const retry = async (...words: string[]): Promise<Outcome> =>
    await runIngest(['quarantine', 'retry', ...words, ...place])
  const { id } = odd[0]!
  t.match(await retry(id), { code: 1, err: /violates check constraint "sane"/ })
  await db.query('ALTER TABLE telemetry DROP CONSTRAINT sane')
  t.match(await retry(id, id), { code: 0, out: '1 row stored, 0 rows still refused.\n', err: '' })
  t.match(await retry(id), {
    code: 1,
    out: '0 rows stored, 0 rows still refused.\n',
    err: `error: not in quarantine: ${id}\n`
  })
  const all = await retry('--all')
  t.match(all, { code: 1, out: '2 rows stored, 4 rows still refused.\n' })
  t.match(all.err, /^error: 2 rows: the row is not kept in a form that COPY accepts; see its JSON$/m)
  t.match(all.err, /^error: 1 row: invalid byte sequence/m)
  t.match(all.err, /^error: 1 row: timestamp out of range/m)
  const { rows } = await db.query<{ value: number }>('SELECT storage_usage_mb AS value FROM telemetry ORDER BY 1')
  t.same(rows.map(({ value }) => value), [0, 1, 3, 5, 60])
  t.equal(await numberOf(db, 'quarantined_rows'), 4)
})

t.test('two concurrent retries of many rows store each row once', async (t) => {
  const url = await createTestDatabase(server)
  const dataDir = await temporaryDirectory(t)
  const place = ['--data-dir', dataDir, '--database-url', url]
  t.match(await runIngest(['migrate', ...place]), { code: 0 })
  const db = await open(url)
  t.teardown(() => db.close())
  await db.query('ALTER TABLE telemetry ADD CONSTRAINT none CHECK (storage_usage_mb < 0)')
  await writeSpool(dataDir, 0, [[rowNow('A', 1)]])
  t.match(await runIngest(['spool', 'drain', ...place]), { code: 0, out: /1 refused by PostgreSQL/ })
  await db.query('ALTER TABLE telemetry DROP CONSTRAINT none')
  await db.query('INSERT INTO quarantined_rows (spool_id, epoch, sequence, sqlstate, reason, row_bytes) ' +
    'SELECT spool_id, epoch, n, sqlstate, reason, row_bytes FROM quarantined_rows, generate_series(2, 2500) AS n')
  const sums: number[] = []
  const connections = await Promise.all([1, 2].map(async () => await open(url)))
  const outcomes = await Promise.all(connections.map(async (each) =>
    await retryQuarantined(each, BUILT_IN, 'all', ({ stored }) => sums.push(stored))))
  await Promise.all(connections.map((each) => each.close()))
  t.equal(outcomes.reduce((sum, { stored }) => sum + stored, 0), 2_500)
  t.match(outcomes, [{ refused: 0, unknown: [] }, { refused: 0, unknown: [] }])
  t.equal(sums.length, 6, 'reported after each transaction')
  t.equal(await numberOf(db, 'telemetry'), 2_500)
  t.equal(await numberOf(db, 'quarantined_rows'), 0)
})
