import { EventEmitter, once } from 'node:events'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import type { Logger } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { connect } from '../../../lib/database/connection.js'
import type { Database, QueryOutcome } from '../../../lib/database/database.js'
import { inStream } from '../../../lib/database/stream-tables.js'
import type { Catalogue } from '../../../protocol/catalogue.js'
import { startMaintenance } from '../../../lib/upkeep/maintenance.js'
import type { Maintenance, MaintenanceOptions } from '../../../lib/upkeep/maintenance.js'
import { migrate, migrateSchema } from '../../../lib/schema/migrate.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { ingestStep } from '../../support/points/ingest-step.js'
import { migrated, nameOf, OPTIONS, SETTINGS } from '../../support/database/migrated.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'

const server = await startTestPostgres(t)

function start (t: Test, url: string, options: Partial<MaintenanceOptions> = {}): Maintenance {
  const maintenance = startMaintenance({
    connect: () => connect(url, OPTIONS), settings: SETTINGS, log: silentLog, ...options
  })
  t.teardown(() => maintenance.close())
  return maintenance
}

async function partitions (database: Database): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>('SELECT name FROM orbitstream_partitions() ORDER BY name')
  return rows.map(row => row.name)
}

/** Names of consecutive days around now. */
function days (from: number, to: number, nowMs = Date.now()): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => nameOf(nowMs + (from + index) * DAY_MS))
}

/** A log whose messages can be read and waited for. */
function recordingLog (): { log: Logger, messages: string[], said: (pattern: RegExp) => Promise<void> } {
  const messages: string[] = []
  let wake: () => void = () => undefined
  const sink = new Writable({
    write (chunk: Buffer, _encoding, done) {
      messages.push((JSON.parse(chunk.toString()) as { msg: string }).msg)
      wake()
      done()
    }
  })
  return {
    log: pino(sink),
    messages,
    async said (pattern) {
      while (!messages.some(message => pattern.test(message))) await new Promise<void>(resolve => { wake = resolve })
    }
  }
}

const SELDOM = {
  partitionsMs: 600_000, summariesMs: 600_000, rollupsMs: 600_000, statisticsMs: 600_000, readersMs: 600_000
}

/** A session that answers every statement at once, but for those that it is silent to: they settle when it is cut. */
class FakeSession extends EventEmitter implements Database {
  alive = true
  readonly backendPid = 1
  readonly statements: string[] = []
  onLost: (error: Error) => void = () => undefined

  constructor (public silence: RegExp | null = null) {
    super()
  }

  async query<Row extends object> (text: string): Promise<QueryOutcome<Row>> {
    this.statements.push(text)
    this.emit('asked')
    if (this.silence?.test(text) === true && this.alive) await once(this, 'cut')
    if (!this.alive) throw new Error('cut')
    const rows = /now|mine/.test(text) ? [{ now: new Date(), mine: false }] : []
    return { rows: rows as unknown as Row[], rowCount: rows.length }
  }

  count (pattern: RegExp): number {
    return this.statements.filter(text => pattern.test(text)).length
  }

  async asked (pattern: RegExp): Promise<void> {
    while (this.count(pattern) === 0) await once(this, 'asked')
  }

  copyAfter (): Promise<never> {
    throw new Error('nobody copies here')
  }

  close (): Promise<void> {
    this.destroy()
    return Promise.resolve()
  }

  destroy (): void {
    this.alive = false
    this.emit('cut')
  }
}

t.test('partitions are made ahead and dropped after retention', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query("SELECT orbitstream_drop_partitions(now() + interval '90 days', 100)")
  await makePartitions(database, [-12, -11, -10, -9, -8].map(day => Date.now() + day * DAY_MS))
  const maintenance = start(t, url)
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.same(
    await partitions(database), [...days(-10, -8), ...days(-1, 3)].sort(),
    'older than ten days is gone, what is younger stays')
  await maintenance.runNow()
  t.same(await partitions(database), [...days(-10, -8), ...days(-1, 3)].sort(), 'and again changes nothing')
})

t.test('retention shorter than a day', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query("SELECT orbitstream_drop_partitions(now() + interval '90 days', 100)")
  const retentionMs = 60_000
  const maintenance = start(t, url, { settings: { retentionMs } })
  await maintenance.runNow()
  t.same(await partitions(database), [...new Set([nameOf(Date.now() - retentionMs), ...days(0, 3)])])
})

t.test('a stream with a retention of its own, from the next round on; anomalies outlive all points', async t => {
  const url = await createTestDatabase(server)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  const proposed = (retention: string): Catalogue => {
    const stream = `power: { id: 2, ${retention} metrics: { volts: { id: 1 } } }`
    const parsed = parseCatalogue(`{ catalogue: 1, streams: { telemetry: { metrics: { a: { id: 1 } } }, ${stream} } }`)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    return parsed.catalogue
  }
  await migrate(database, { ...SETTINGS, log: silentLog, proposed: proposed('retention: 15d,') })
  for (const stream of ['telemetry', 'power']) {
    await makePartitions(inStream(database, stream), [-17, -14, -9, -5, -2].map(day => Date.now() + day * DAY_MS))
  }
  const maintenance = start(t, url, { streams: ['telemetry', 'power'] })
  /** Days before today that have a partition, but for yesterday. */
  const kept = async (): Promise<Record<string, number[]>> => {
    await maintenance.runNow()
    t.equal(maintenance.lastError, null)
    const ages = async (table: string): Promise<number[]> => (await database.query<{ age: number }>(`
      SELECT (now() AT TIME ZONE 'UTC')::date - (lower_bound AT TIME ZONE 'UTC')::date AS age
      FROM orbitstream_partitions_of('${table}') ORDER BY 1 DESC`)).rows.map(({ age }) => age).filter(age => age > 1)
    const tables = ['telemetry', 'power', 'power_rollup_10s', 'anomalies']
    return Object.fromEntries(await Promise.all(tables.map(async table => [table, await ages(table)] as const)))
  }
  const [all, ten] = [[14, 9, 5, 2], [9, 5, 2]]
  t.same(await kept(), { telemetry: ten, power: all, power_rollup_10s: all, anomalies: all })
  await migrateSchema(database, { log: silentLog, proposed: proposed('retention: 3d,'), revert: true })
  t.same(await kept(), { telemetry: ten, power: [2], power_rollup_10s: [2], anomalies: ten })
  await migrateSchema(database, { log: silentLog, proposed: proposed(''), revert: true })
  await makePartitions(inStream(database, 'power'), [Date.now() - 9 * DAY_MS])
  t.same((await kept())['power'], [9, 2], 'again as the server is set')
})

t.test('a clock that jumps', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query("INSERT INTO telemetry VALUES (now(), 'A')")
  const { log, said } = recordingLog()
  let nowMs = Date.now()
  const maintenance = start(t, url, { now: () => nowMs, log })
  await maintenance.runNow()
  const before = await partitions(database)
  nowMs += 400 * DAY_MS
  await maintenance.runNow()
  await said(/differ by more than a day/)
  const after = await partitions(database)
  t.ok(before.every(name => after.includes(name)), 'none is dropped')
  t.same(
    (await database.query(
      "SELECT orbitstream_without_partition(ARRAY[now() + interval '399 days', now() + interval '403 days'])")).rows,
    [], 'points would go in')
  t.equal((await database.query('SELECT FROM telemetry')).rowCount, 1)
})

t.test('new pages are summarised, on the timer', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query('CREATE EXTENSION pageinspect')
  await database.query(
    "INSERT INTO telemetry SELECT date_trunc('day', now()), 'SAT-' || i FROM generate_series(1, 5000) i")
  await database.query('SELECT pg_stat_force_next_flush()')
  const index = `${nameOf(Date.now())}_satellite_id_time_idx`
  const entries = async (): Promise<number> => {
    const { rows } = await database.query<{ pages: number }>(
      `SELECT count(*)::int AS pages FROM brin_revmap_data(get_raw_page('${index}', 1)) WHERE pages <> '(0,0)'`)
    return rows[0]!.pages
  }
  const before = await entries()
  start(t, url, { intervals: { partitionsMs: 600_000, summariesMs: 20 } })
  const size = await database.query<{ pages: number }>(
    `SELECT (pg_relation_size('${nameOf(Date.now())}') / 8192)::int AS pages`)
  const pages = size.rows[0]!.pages
  t.ok(pages > 10 && before < pages)
  while (await entries() < pages) { /* each turn waits for the server's answer */ }
  t.equal(await entries(), pages)
})

t.test('new pages are summarised by time as often as rollups look for new rows', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query('CREATE EXTENSION pageinspect')
  await start(t, url, { intervals: { partitionsMs: 600_000, summariesMs: 600_000, rollupsMs: 20 } }).runNow()
  await database.query(
    "INSERT INTO telemetry SELECT date_trunc('day', now()), 'SAT-' || i FROM generate_series(1, 20000) i")
  await database.query('SELECT pg_stat_force_next_flush()')
  const partition = nameOf(Date.now())
  const missing = async (): Promise<number> => (await database.query<{ missing: number }>(
    `SELECT ceil(pg_relation_size('${partition}') / 8192.0 / 32)::int - count(*)::int AS missing
      FROM brin_revmap_data(get_raw_page('${partition}_time_idx', 1)) WHERE pages <> '(0,0)'`)).rows[0]?.missing ?? 0
  while (await missing() > 0) { /* each turn waits for the server's answer */ }
  t.equal(await missing(), 0)
})

t.test('the database away', async t => {
  const own = await startTestPostgres(t)
  const database = await migrated(t, own.url)
  const { log, messages, said } = recordingLog()
  await own.stop()
  t.notOk(database.alive)
  const maintenance = start(t, own.url, { log })
  await said(/failed/)
  await maintenance.runNow()
  await maintenance.runNow()
  t.match(maintenance.lastError, /cannot be reached/)
  await own.start()
  await said(/works again/)
  t.equal(maintenance.lastError, null)
  t.equal(messages.filter(message => message.includes('failed')).length, 1, 'logged once per outage')

  await own.kill()
  await maintenance.runNow()
  t.not(maintenance.lastError, null)
  await own.start()
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.equal(messages.filter(message => message.includes('failed')).length, 2, 'the next outage is logged too')
})

t.test('a reader that keeps a partition does not hold up the rest for long', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await makePartitions(database, [Date.now() - 12 * DAY_MS])
  await database.query('BEGIN')
  await database.query('SELECT FROM telemetry')
  const closing = async (): Promise<unknown> => (await database.query('SELECT closing FROM rollup_state')).rows
  const before = await closing()
  const asked: string[] = []
  const listening = async (): Promise<Database> => {
    const session = await connect(url, OPTIONS)
    const query = (sql: string, values?: unknown[]): unknown => {
      asked.push(sql)
      return session.query(sql, values)
    }
    return new Proxy(session, { get: (target, key) => key === 'query' ? query : Reflect.get(target, key) as unknown })
  }
  const maintenance = start(t, url, { connect: listening })
  await maintenance.runNow()
  t.match(maintenance.lastError, /process \d+ of .* holds telemetry, telemetry_p/)
  t.notOk(asked.some((sql) => /DROP TABLE .*telemetry/.test(sql)), 'nobody who stores points waits behind it')
  t.notSame(await closing(), before, 'rollups go on')
  await database.query('COMMIT')
  await maintenance.runNow()
  t.equal(maintenance.lastError, null)
  t.notOk((await partitions(database)).includes(nameOf(Date.now() - 12 * DAY_MS)))
})

t.test('a server that keeps the session and refuses everything is left', async t => {
  const url = await createTestDatabase(server)
  await migrated(t, url)
  const sessions: Database[] = []
  const maintenance = start(t, url, {
    connect: async () => {
      const database = await connect(url, OPTIONS)
      // As one that has become a standby.
      if (sessions.length === 0) await database.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY')
      sessions.push(database)
      return database
    }
  })
  await maintenance.runNow()
  t.match(maintenance.lastError, /read-only transaction/)
  await maintenance.runNow()
  t.equal(maintenance.lastError, null, 'another one serves')
  t.same(sessions.map(({ alive }) => alive), [false, true])
})

t.test('a server that falls silent is given up, and said', async t => {
  const [silent, well] = [new FakeSession(/AS now/), new FakeSession()]
  const sessions = [silent, well]
  const maintenance = start(t, '', { connect: () => Promise.resolve(sessions.shift() ?? well), answerMs: 20 })
  await maintenance.runNow()
  t.equal(maintenance.lastError, 'The database did not answer within 0.02 s.')
  t.notOk(silent.alive)
  await well.asked(/brin/)
  t.equal(well.count(/AS now/), 0, 'what had no answer does not keep the others from running')
  await maintenance.runNow()
  t.equal(well.count(/AS now/), 1)
  t.equal(maintenance.lastError, null)
})

t.test('closed while it connects, it asks nothing any more', async t => {
  const session = new FakeSession()
  const network = new EventEmitter()
  const maintenance = start(t, '', {
    connect: async () => {
      network.emit('connecting')
      await once(network, 'connected')
      return session
    }
  })
  await once(network, 'connecting')
  const closed = maintenance.close()
  network.emit('connected')
  await closed
  t.same(session.statements, [])
  t.notOk(session.alive, 'and the connection is not left open')
  t.equal(maintenance.lastError, null, 'closing is no failure')
})

t.test('finishing stores what was counted to the end, and waits for nobody', async t => {
  const steps = { pending: () => [ingestStep(Date.now())], stored: () => undefined }
  const STORES = /INSERT INTO public.ingest_stats/
  const begin = async (session: FakeSession, options: Partial<MaintenanceOptions> = {}): Promise<Maintenance> => {
    const maintenance = start(t, '', { connect: () => Promise.resolve(session), steps, intervals: SELDOM, ...options })
    await maintenance.runNow()
    session.statements.length = 0
    return maintenance
  }
  const well = new FakeSession()
  await (await begin(well)).finish(60_000)
  t.match(well.statements, [STORES])
  t.notOk(well.alive, 'closed')

  const silent = new FakeSession()
  const cut = await begin(silent)
  silent.silence = STORES
  await cut.finish(20)
  t.match(silent.statements, [STORES], 'an answer is not waited for')

  const away = new FakeSession(/./)
  await (await begin(away, { answerMs: 20 })).finish(60_000)
  t.same(away.statements, [], 'a database that was away before is not asked')
})

t.test('close in the middle', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query('BEGIN; LOCK TABLE telemetry IN SHARE UPDATE EXCLUSIVE MODE')
  const begin = performance.now()
  const maintenance = start(t, url)
  const run = maintenance.runNow()
  for (;;) {
    const { rowCount } = await database.query(
      "SELECT FROM pg_locks WHERE relation = 'telemetry'::regclass AND NOT granted")
    if (rowCount > 0) break
  }
  await maintenance.close()
  await maintenance.close()
  await run
  t.ok(performance.now() - begin < 2_000, 'without waiting for the lock')
  t.equal(maintenance.lastError, null, 'closing is no failure')

  let connections = 0
  const early = startMaintenance({
    connect: async () => {
      connections++
      return await connect(url, OPTIONS)
    },
    settings: SETTINGS,
    log: silentLog
  })
  await early.close()
  t.ok(connections <= 1)
  await database.query('ROLLBACK')
  for (;;) {
    // Ends only if no connection was left open.
    const { rowCount } = await database.query(
      'SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()')
    if (rowCount === 0) break
  }
})
