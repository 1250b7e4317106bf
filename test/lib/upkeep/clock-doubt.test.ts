/** A clock that is ahead everywhere, as with the embedded PostgreSQL: what retention then drops, and when. */
import t from 'tap'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { Database, QueryOutcome } from '../../../lib/database/database.js'
import { DAY_MS, HOUR_MS } from '../../../lib/config/setting-types.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { isInDoubt } from '../../../lib/upkeep/clock-doubt.js'
import { startMaintenance } from '../../../lib/upkeep/maintenance.js'
import { migrated, OPTIONS, SETTINGS } from '../../support/database/migrated.js'
import { storeAnomalies } from '../../support/database/retention.js'
import { createTestDatabase, silentLog, startTestPostgres } from '../../support/database/postgres.js'
import { ingestStep } from '../../support/points/ingest-step.js'

const server = await startTestPostgres(t)
const SELDOM = {
  partitionsMs: 600_000, summariesMs: 600_000, rollupsMs: 600_000, statisticsMs: 600_000, readersMs: 600_000
}
/** Partitions around now are of a day. */
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS + 12 * HOUR_MS
const AHEAD = Date.UTC(2080, 0, 1, 12)

class Rig {
  nowMs = NOON

  private constructor (private readonly t: Test, private readonly url: string, readonly database: Database) {}

  static async open (t: Test): Promise<Rig> {
    const url = await createTestDatabase(server)
    return new Rig(t, url, await migrated(t, url))
  }

  /** A point of some days ago. */
  async store (ageDays: number): Promise<void> {
    const timeMs = this.nowMs - ageDays * DAY_MS
    await makePartitions(this.database, [timeMs])
    await this.database.query("INSERT INTO telemetry VALUES (to_timestamp($1 / 1000.0), 'A')", [timeMs])
  }

  async storeStep (): Promise<void> {
    await this.database.query('INSERT INTO ingest_stats SELECT (jsonb_populate_record(NULL::ingest_stats, $1)).*',
      [JSON.stringify(ingestStep(Date.now() - 20 * DAY_MS))])
  }

  async count (table: string): Promise<number> {
    return (await this.database.query(`SELECT FROM ${table}`)).rowCount
  }

  /** One round at which host and database have the same clock; returns what it has warned of. */
  async keep (retentionMs = SETTINGS.retentionMs): Promise<string[]> {
    const warnings: string[] = []
    const maintenance = startMaintenance({
      connect: async () => await this.connect(),
      settings: { retentionMs },
      steps: { pending: () => [], stored: () => undefined },
      intervals: SELDOM,
      now: () => this.nowMs,
      log: { ...silentLog, warn: (_, message) => { warnings.push(message) } }
    })
    await maintenance.runNow()
    this.t.equal(maintenance.lastError, null)
    await maintenance.close()
    return warnings
  }

  private async connect (): Promise<Database> {
    const session = await connect(this.url, OPTIONS)
    const query = async (sql: string, values?: unknown[]): Promise<QueryOutcome<object>> =>
      sql === 'SELECT now() AS now'
        ? { rows: [{ now: new Date(this.nowMs) }], rowCount: 1 }
        : await session.query(sql, values)
    return new Proxy(session, { get: (target, key) => key === 'query' ? query : Reflect.get(target, key) as unknown })
  }
}

t.test('it drops nothing until points speak for it', async (t) => {
  const rig = await Rig.open(t)
  for (const ageDays of [1, 9]) await rig.store(ageDays)
  await rig.storeStep()
  rig.nowMs = AHEAD
  t.match(await rig.keep(), [/nothing is dropped until points are a day old/])
  t.equal(await rig.count('telemetry'), 2)
  t.equal(await rig.count('ingest_stats'), 1, 'counters stay, too')
  await rig.store(0)
  await rig.store(0.9)
  await rig.keep()
  t.equal(await rig.count('telemetry'), 4, 'senders may have the same clock')
  await rig.store(1.1)
  t.same(await rig.keep(), [], 'a day later it is believed')
  t.equal(await rig.count('telemetry'), 3)
  t.equal(await rig.count('ingest_stats'), 0)
})

t.test('what expires day by day needs no points of later days', async (t) => {
  const rig = await Rig.open(t)
  await rig.store(0)
  rig.nowMs += 12 * HOUR_MS + SETTINGS.retentionMs + HOUR_MS
  t.same(await rig.keep(), [])
  t.equal(await rig.count('telemetry'), 0)

  await rig.store(0)
  rig.nowMs += 5 * DAY_MS
  t.same(await rig.keep(HOUR_MS), [], 'who keeps points for hours has no day to wait for')
  t.equal(await rig.count('telemetry'), 0)
})

t.test('points of any stream speak for it, also of one that keeps them for hours', async (t) => {
  const rig = await Rig.open(t)
  const { database: session } = rig
  const long = { session, table: 'anomalies', retentionMs: SETTINGS.retentionMs, hasPoints: false }
  const short = { session, table: 'telemetry', retentionMs: HOUR_MS, hasPoints: true }
  const old = NOON - 20 * DAY_MS
  await makePartitions(session, [old])
  t.notOk(await isInDoubt([long, short], NOON), 'there is nothing to lose')
  await storeAnomalies(session, [['A', old]])
  await rig.store(0.5)
  t.ok(await isInDoubt([long, short], NOON))
  await rig.store(1.5)
  t.notOk(await isInDoubt([long, short], NOON))
})
