import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { connect } from '../../../lib/database/connection.js'
import type { Database, QueryOutcome } from '../../../lib/database/database.js'
import { streamSql } from '../../../lib/database/stream-tables.js'
import { isSameCatalogue } from '../../../lib/catalogue/evolution.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { createLogger } from '../../../lib/support/log.js'
import {
  readCatalogue, readCatalogueHistory, readVersion, storeCatalogue
} from '../../../lib/schema/catalogue-versions.js'
import { migrate, migrateSchema, planSettings } from '../../../lib/schema/migrate.js'
import type { Catalogue } from '../../../protocol/catalogue.js'
import { BUILT_IN } from '../../support/points/built-in.js'
import { catalogueOf } from '../../support/points/catalogues.js'
import { rollUp } from '../../support/answers/same-answers.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'

/** Statements that change something, and the ends of transactions. */
const CHANGES = /^\s*(?!SELECT)\w/
/** Those that begin with a comment as well: migrations. */
const CHANGES_COMMENTED = /^\s*(?!SELECT)(?:\w|--)/
const SQL_DIRECTORY = new URL('../../../../sql/', import.meta.url)
const SETTINGS = { retentionMs: 30 * DAY_MS, log: silentLog }
const ONE = catalogueOf('voltage: { id: 1, unit: V }', 'current: { id: 2 }')
const TWO = catalogueOf('voltage: { id: 1, unit: V }', 'current: { id: 2, retired: true }', 'power: { id: 7 }')

const postgres = await startTestPostgres(t)

/** A new database, and a way to open connections to it. */
async function emptyDatabase (): Promise<{ database: Database, open: () => Promise<Database> }> {
  const url = await createTestDatabase(postgres)
  const open = async (): Promise<Database> => {
    const database = await connect(url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
    t.teardown(async () => await database.close())
    return database
  }
  return { database: await open(), open }
}

/** The connection is lost before the given one of the statements that match. */
function cutAt (database: Database, statement: number, which: RegExp): Database {
  let left = statement
  return new Proxy(database, {
    get (target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (key !== 'query') return typeof value === 'function' ? value.bind(target) as unknown : value
      return async (...args: Parameters<Database['query']>): Promise<QueryOutcome<object>> => {
        if (which.test(args[0]) && --left === 0) target.destroy()
        return await target.query(...args)
      }
    }
  })
}

async function columnsOf (database: Database, table: string): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    'SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position',
    [table])
  return rows.map(({ name }) => name)
}

async function inForce (database: Database): Promise<string[]> {
  return (await readCatalogue(database)).telemetry.metrics.map(({ name }) => name)
}

t.test('a new database gets the tables of the proposed catalogue, and keeps it', async (t) => {
  const { database } = await emptyDatabase()
  t.ok(isSameCatalogue((await migrate(database, { ...SETTINGS, proposed: ONE })).catalogue, ONE))
  t.same(await columnsOf(database, 'telemetry'), ['time', 'satellite_id', 'voltage', 'current'])
  t.ok((await columnsOf(database, 'telemetry_10s')).includes('voltage_avg'))
  t.ok(isSameCatalogue((await migrate(database, SETTINGS)).catalogue, ONE), 'without a file the database decides')
  t.match(await readCatalogueHistory(database, 10), [{ version: 1, changedBy: /^start on / }])
})

t.test('a change adds columns, an older file follows, and each version has its author', async (t) => {
  const { database } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: ONE })
  await migrate(database, { ...SETTINGS, proposed: TWO, changedBy: 'ada' })
  t.same(await columnsOf(database, 'telemetry'), ['time', 'satellite_id', 'voltage', 'current', 'power'])
  t.ok((await columnsOf(database, 'satellites_latest')).includes('power'))
  const warnings: string[] = []
  const destination = { write: (line: string) => { warnings.push(line) } }
  const log = createLogger({ level: 'warn', name: 'test', pretty: false, destination })
  t.ok(isSameCatalogue((await migrate(database, { ...SETTINGS, log, proposed: ONE })).catalogue, TWO))
  t.match(warnings, [/file is version 1 .*database has version 2: this host follows the database/])
  t.match(await readCatalogueHistory(database, 10), [{ version: 2, changedBy: 'ada' }, { version: 1 }])
})

t.test('what does not fit the points is refused, and changes nothing', async (t) => {
  const { database } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: ONE })
  for (const [wrong, reason] of [
    [catalogueOf('voltage: { id: 1 }'), /current \(id 2\) is missing/],
    [catalogueOf('volts: { id: 1 }', 'current: { id: 2 }'), /id 1 is voltage, not volts/]
  ] as const) {
    await t.rejects(migrate(database, { ...SETTINGS, proposed: wrong }), { name: 'StartupError', message: reason })
  }
  t.same(await inForce(database), ['voltage', 'current'])
})

t.test('a database of the built-in catalogue can only grow', async (t) => {
  const { database } = await emptyDatabase()
  await migrate(database, SETTINGS)
  t.ok(isSameCatalogue(await readCatalogue(database), BUILT_IN))
  await t.rejects(migrate(database, { ...SETTINGS, proposed: ONE }), { message: /battery_charge_percent|id 1/ })
  // As a release without catalogues left it.
  await database.query('DROP TABLE catalogue CASCADE; DELETE FROM schema_migrations WHERE version = 9')
  await t.rejects(migrate(database, { ...SETTINGS, proposed: ONE }), { message: /does not fit the points/ })
  t.ok(isSameCatalogue((await migrate(database, SETTINGS)).catalogue, BUILT_IN))
})

t.test('hosts that propose the same at once make one version; different ones do not mix', async (t) => {
  const { database, open } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: ONE })
  await Promise.all(
    [await open(), await open()].map(async (each) => await migrate(each, { ...SETTINGS, proposed: TWO })))
  t.equal((await readCatalogueHistory(database, 10)).length, 2)
  const other = catalogueOf(...['voltage: { id: 1 }', 'current: { id: 2 }', 'power: { id: 7 }', 'torque: { id: 8 }'])
  const more = catalogueOf(...['voltage: { id: 1 }', 'current: { id: 2 }', 'power: { id: 7 }', 'speed: { id: 8 }'])
  const settled = await Promise.allSettled([[await open(), other], [await open(), more]].map(async ([each, proposed]) =>
    await migrate(each as Database, { ...SETTINGS, proposed: proposed as Catalogue })))
  t.same(settled.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  t.equal((await readCatalogueHistory(database, 10)).length, 3)
  t.equal((await columnsOf(database, 'telemetry')).length, 6, 'one of torque and speed')
})

t.test('a connection that is lost at any change leaves the old catalogue or the new one', async (t) => {
  let { database, open } = await emptyDatabase()
  for (let statement = 1, survived = false; !survived; statement++) {
    await migrate(database, { ...SETTINGS, proposed: ONE })
    survived = await migrate(cutAt(await open(), statement, CHANGES), { ...SETTINGS, proposed: TWO })
      .then(() => true, () => false)
    const names = await inForce(database)
    t.same((await columnsOf(database, 'telemetry')).slice(2), names, `statement ${statement}`)
    if (names.length === ONE.telemetry.metrics.length) continue
    t.ok(isSameCatalogue((await migrate(database, { ...SETTINGS, proposed: TWO })).catalogue, TWO));
    ({ database, open } = await emptyDatabase())
  }
})

function streamsOf (...streams: string[]): Catalogue {
  const parsed = parseCatalogue(`{ catalogue: 1, streams: { ${streams.join(', ')} } }`)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.catalogue
}

t.test('with several streams as well: each has its tables and columns of one version', async (t) => {
  const before = streamsOf('telemetry: { metrics: { a: { id: 1 } } }', 'power: { id: 2, metrics: { b: { id: 1 } } }')
  const after = streamsOf(
    'telemetry: { metrics: { a: { id: 1 }, c: { id: 2, type: bool } } }',
    'power: { id: 2, metrics: { b: { id: 1 }, d: { id: 2, type: int } } }',
    'thermal: { id: 3, metrics: { e: { id: 1 } } }')
  const { database, open } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: before })
  let cuts = 0
  for (let survived = false; !survived; cuts++) {
    survived = await migrate(cutAt(await open(), cuts + 1, CHANGES_COMMENTED), { ...SETTINGS, proposed: after })
      .then(() => true, () => false)
    const catalogue = await readCatalogue(database)
    t.ok([before, after].some((each) => isSameCatalogue(each, catalogue)), `cut ${cuts}`)
    for (const { name } of after.streams) {
      const metrics = catalogue.stream(name)?.metrics.map((metric) => metric.name) ?? []
      for (const relation of [name, streamSql('satellites_latest', name)]) {
        t.same((await columnsOf(database, relation)).slice(2), metrics, `cut ${cuts}: ${relation}`)
      }
    }
  }
  t.ok(cuts > 10, `${cuts} cuts`)
  t.ok(isSameCatalogue(await readCatalogue(database), after))
  const { rows } = await database.query<{ hashes: boolean }>(
    "SELECT proconfig @> '{enable_sort=off}' AS hashes FROM pg_proc WHERE proname LIKE 'orbitstream%newest_points'")
  t.same(rows.map(({ hashes }) => hashes), [true, true, true], 'the newest points of all streams, old and new')
})

t.test('the first start: two hosts with different files end with the tables of one of them', async (t) => {
  const other = catalogueOf('torque: { id: 1 }', 'speed: { id: 4 }')
  for (let round = 0; round < 2; round++) {
    const { database, open } = await emptyDatabase()
    const settled = await Promise.allSettled([[await open(), ONE], [await open(), other]].map(
      async ([each, proposed]) => await migrate(each as Database, { ...SETTINGS, proposed: proposed as Catalogue })))
    t.same(settled.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    const names = await inForce(database)
    t.same((await columnsOf(database, 'telemetry')).slice(2), names)
    t.same((await columnsOf(database, 'satellites_latest')).slice(2), names)
    t.ok((await columnsOf(database, 'telemetry_1m')).includes(`${names[0]}_avg`))
  }
})

t.test('the first start: killed after any transaction, the next one continues with what there is', async (t) => {
  const other = catalogueOf('torque: { id: 1 }', 'speed: { id: 4 }')
  const { database, open } = await emptyDatabase()
  for (let survived = false; !survived;) {
    // Each attempt gets one transaction further.
    survived = await migrate(cutAt(await open(), 2, /^COMMIT/), { ...SETTINGS, proposed: ONE })
      .then(() => true, () => false)
    const columns = (await columnsOf(database, 'telemetry')).slice(2)
    if (columns.length === 0) continue
    await t.rejects(migrate(database, { ...SETTINGS, proposed: other }), { message: /does not fit the points/ })
    t.same(columns, await inForce(database))
  }
  t.same((await columnsOf(database, 'satellites_latest')).slice(2), ['voltage', 'current'])
})

t.test('an earlier version comes back by an explicit act, within the rules', async (t) => {
  const { database } = await emptyDatabase()
  const title = catalogueOf('voltage: { id: 1, unit: V, title: Bus }', 'current: { id: 2 }')
  for (const proposed of [ONE, title]) await migrate(database, { ...SETTINGS, proposed })
  await migrateSchema(database, { log: silentLog, proposed: ONE, revert: true, changedBy: 'ada' })
  t.match(await readCatalogueHistory(database, 1), [{ version: 3, changedBy: 'ada' }])
  t.ok(isSameCatalogue(await readCatalogue(database), ONE))
  t.ok(isSameCatalogue((await migrate(database, { ...SETTINGS, proposed: title })).catalogue, ONE), 'a start follows')
  await migrateSchema(database, { log: silentLog, proposed: TWO, revert: true })
  t.same(await planSettings(database, 'plain', SETTINGS), [], 'nothing is left for a start to set')
  await t.rejects(
    migrateSchema(database, { log: silentLog, proposed: ONE, revert: true }), { message: /power .*is missing/ })
})

t.test('an alias of an earlier version never names another metric', async (t) => {
  const { database } = await emptyDatabase()
  const rest = ['current: { id: 2 }']
  for (const aliases of ['[volts]', '[]']) {
    await migrate(database, { ...SETTINGS, proposed: catalogueOf(`voltage: { id: 1, aliases: ${aliases} }`, ...rest) })
  }
  for (const wrong of [
    catalogueOf('voltage: { id: 1 }', 'current: { id: 2, aliases: [volts] }'),
    catalogueOf('voltage: { id: 1 }', ...rest, 'volts: { id: 3 }')
  ]) {
    await t.rejects(
      migrate(database, { ...SETTINGS, proposed: wrong }), { message: /volts was another name of voltage \(id 1\)/ })
  }
})

t.test('something else under the name public.catalogue is refused', async (t) => {
  for (const sql of ['CREATE TABLE catalogue (id int)', 'CREATE VIEW catalogue AS SELECT 1 AS version']) {
    const { database } = await emptyDatabase()
    await database.query(sql)
    await t.rejects(migrate(database, SETTINGS), { name: 'StartupError', message: /public\.catalogue.*rename it/ })
    t.same(await columnsOf(database, 'telemetry'), [])
  }
})

t.test('something else under the name of a new stream is refused', async (t) => {
  const { database } = await emptyDatabase()
  const before = streamsOf('telemetry: { metrics: { a: { id: 1 } } }')
  await migrate(database, { ...SETTINGS, proposed: before })
  const after = streamsOf('telemetry: { metrics: { a: { id: 1 } } }', 'power: { id: 2, metrics: { b: { id: 1 } } }')
  for (const sql of ['CREATE TABLE power (id int)', 'DROP TABLE power; CREATE VIEW power AS SELECT 1 AS id']) {
    await database.query(sql)
    await t.rejects(
      migrate(database, { ...SETTINGS, proposed: after }),
      { name: 'StartupError', message: /public\.power.*choose another name for the stream/ })
    t.same(await columnsOf(database, 'power'), ['id'])
    t.ok(isSameCatalogue(await readCatalogue(database), before))
  }
})

t.test('a stored catalogue that cannot be understood is refused, whatever is proposed', async (t) => {
  const { database } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: ONE })
  await database.query(`INSERT INTO catalogue (version, changed_by, catalogue)
    VALUES (2, 'a newer version',
    '{ "catalogue": 1, "streams": { "telemetry": { "metrics": { "a": { "id": 1, "type": "quaternion" } } } } }')`)
  for (const proposed of [null, ONE]) {
    await t.rejects(
      migrate(database, { ...SETTINGS, proposed }),
      { name: 'StartupError', message: /a version \(2\) that this OrbitStream does not understand: .*type/ })
  }
})

t.test('a catalogue whose stored form is larger than a file may be comes back as it went in', async (t) => {
  const { database } = await emptyDatabase()
  await migrate(database, { ...SETTINGS, proposed: ONE })
  // JSON escapes each quote.
  const metrics = Array.from({ length: 250 }, (_, index) =>
    `m${index}: { id: ${index + 1}, description: '${'"'.repeat(500)}' }`).join(', ')
  const streams = Array.from({ length: 16 }, (_, index) => `s${index}: { id: ${index + 2}, metrics: { ${metrics} } }`)
  const parsed = parseCatalogue(
    `{ catalogue: 1, streams: { telemetry: { metrics: { voltage: { id: 1 } } }, ${streams.join(', ')} } }`)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const { catalogue } = parsed
  t.ok(await storeCatalogue(database, { inForce: await readVersion(database), catalogue }))
  t.ok(isSameCatalogue(await readCatalogue(database), catalogue))
})

t.test('numbers and text at the edges come back from the database as they went in', async (t) => {
  const { database } = await emptyDatabase()
  const edges = catalogueOf(
    'a: { id: 1, limits: { low: { critical: -1.7e308 }, high: { critical: 1.7e308 } } }',
    'b: { id: 2, resolution: 5e-324, limits: { low: { critical: -0 } }, simulate: { between: [-0, 0] } }',
    'c: { id: 3, unit: "🛰\u2028", description: "é" , limits: { high: { warning: 1.7e308 } } }')
  for (let start = 0; start < 2; start++) await migrate(database, { ...SETTINGS, proposed: edges })
  t.equal((await readCatalogueHistory(database, 10)).length, 1)
  t.ok(isSameCatalogue(await readCatalogue(database), edges))
})

t.test('names that our SQL uses for something else may be names of metrics', async (t) => {
  const files = await readdir(SQL_DIRECTORY)
  const texts = await Promise.all(files.map(async (file) => await readFile(new URL(file, SQL_DIRECTORY), 'utf8')))
  const namings = /\bAS ([a-z][a-z0-9_]*)|^ +([a-z]\w*) (?:constant )?(?:text|timestamptz|record)/gm
  const words = [...texts.join().matchAll(namings)].map(([, alias, variable]) => alias ?? variable ?? '')
  const names = [...new Set(words)].filter((word) => parseCatalogue(
    `{ catalogue: 1, streams: { telemetry: { metrics: { ${word}: { id: 1 } } } } }`).ok)
  t.ok(names.length > 40, names.join())
  const { database } = await emptyDatabase()
  const proposed = catalogueOf(...names.map((name, index) => `${name}: { id: ${index + 1} }`))
  await migrate(database, { ...SETTINGS, proposed })
  await database.query(
    `INSERT INTO telemetry ("time", satellite_id, "${names[0]}") SELECT now() - n * interval '20 s', 'A', n ` +
    'FROM generate_series(0, 9) n')
  await rollUp(database)
  t.match((await database.query('SELECT * FROM satellites_latest')).rows, [{ [names[0] as string]: 0 }])
  for (const view of ['telemetry_10s', 'telemetry_1m']) await database.query(`SELECT * FROM ${view}`)
})
