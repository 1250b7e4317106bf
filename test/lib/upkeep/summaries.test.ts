import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { Summaries } from '../../../lib/upkeep/summaries.js'
import { migrated, nameOf, OPTIONS } from '../../support/database/migrated.js'
import { createTestDatabase, startTestPostgres } from '../../support/database/postgres.js'

const server = await startTestPostgres(t)

t.test('new pages are summarised where the server does not count rows', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await database.query('CREATE EXTENSION pageinspect')
  await database.query(`DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET track_counts = off', current_database()); END $$`)
  const writer = await connect(url, OPTIONS)
  t.teardown(() => writer.close())
  const partition = nameOf(Date.now())
  const summaries = new Summaries(['telemetry'], 'satellites')
  for (const turn of [1, 2]) {
    await writer.query(
      "INSERT INTO telemetry SELECT date_trunc('day', now()), 'SAT-' || i FROM generate_series(1, 5000) i")
    await summaries.run(writer)
    const { rows: [row] } = await writer.query<{ pages: number, found: number }>(`
      SELECT (pg_relation_size('${partition}') / 8192)::int AS pages, count(*)::int AS found
      FROM brin_revmap_data(get_raw_page('${partition}_satellite_id_time_idx', 1)) WHERE pages <> '(0,0)'`)
    t.ok(row !== undefined && row.pages > 10 && row.found === row.pages, `turn ${turn}`)
  }
})

t.test('a partition that another host drops meanwhile is not missed', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  await makePartitions(database, [-2, -3].map(day => Date.now() + day * DAY_MS))
  await database.query(
    "INSERT INTO telemetry SELECT now() - day * interval '24 hours', 'A' FROM generate_series(2, 3) day")
  await database.query('SELECT pg_stat_force_next_flush()')
  let isDropped = false
  const query = async (sql: string, values?: unknown[]): Promise<unknown> => {
    if (sql.includes('brin_summarize') && !isDropped) {
      isDropped = true
      await database.query(`DROP TABLE ${nameOf(Date.now() - 2 * DAY_MS)}`)
    }
    return await database.query(sql, values)
  }
  const overtaken = new Proxy(database, {
    get: (target, key) => key === 'query' ? query : Reflect.get(target, key) as unknown
  })
  await new Summaries(['telemetry'], 'time').run(overtaken)
  t.ok(isDropped)
})

t.test('a table that is being vacuumed or locked is left for later, and holds up no other', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  const [today, yesterday] = [nameOf(Date.now()), nameOf(Date.now() - DAY_MS)]
  const free = async (partition: string): Promise<boolean> =>
    (await database.query(
      `SELECT FROM brin_revmap_data(get_raw_page('${partition}_satellite_id_time_idx', 1))
        WHERE pages <> '(0,0)' OFFSET 1`)).rowCount > 0
  await database.query('CREATE EXTENSION pageinspect')
  await database.query(
    `INSERT INTO telemetry SELECT date_trunc('day', now(), 'UTC') - day * interval '24 hours', 'SAT-' || i
      FROM generate_series(0, 1) day, generate_series(1, 5000) i`)
  await database.query('SELECT pg_stat_force_next_flush()')
  const vacuum = await connect(url, OPTIONS)
  t.teardown(() => vacuum.close())
  await vacuum.query(`BEGIN; LOCK TABLE ${today} IN SHARE UPDATE EXCLUSIVE MODE`)
  const summaries = new Summaries(['telemetry'], 'satellites')
  await summaries.run(database)
  t.same([await free(today), await free(yesterday)], [false, true])
  await vacuum.query('COMMIT')
  await summaries.run(database)
  t.same([await free(today), await free(yesterday)], [true, true])
})

t.test('a partition of another role keeps no other from being summarised', async t => {
  const url = await createTestDatabase(server)
  const database = await migrated(t, url)
  const [today, yesterday] = [nameOf(Date.now()), nameOf(Date.now() - DAY_MS)]
  await database.query(`
    CREATE EXTENSION pageinspect;
    CREATE ROLE summariser;
    ALTER TABLE ${yesterday} OWNER TO summariser;
    INSERT INTO telemetry SELECT date_trunc('day', now(), 'UTC') - day * interval '24 hours', 'SAT-' || i
      FROM generate_series(0, 1) day, generate_series(1, 5000) i`)
  await database.query('SELECT pg_stat_force_next_flush()')
  await database.query('SET ROLE summariser')
  await t.rejects(new Summaries(['telemetry'], 'satellites').run(database), { message: /must be owner of index/ })
  await database.query('RESET ROLE')
  const summarised = async (partition: string): Promise<boolean> => (await database.query(`
    SELECT FROM brin_revmap_data(get_raw_page('${partition}_satellite_id_time_idx', 1))
    WHERE pages <> '(0,0)' OFFSET 1`)).rowCount > 0
  t.same([await summarised(today), await summarised(yesterday)], [false, true])
})
