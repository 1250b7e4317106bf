/** Limits in a real PostgreSQL: one set, its history, changes that do not overwrite one another, and word of them. */
import t, { type Test } from 'tap'
import type { LimitSet } from '../../../lib/limits/limit-set.js'
import { connect } from '../../../lib/database/connection.js'
import type { DatabaseConnection } from '../../../lib/database/database.js'
import {
  HISTORY_VERSIONS_MAX, LIMITS_CHANNEL, readLimits, readLimitsHistory, readLimitVersion, readOtherLimits, replaceLimits,
  seedLimits
} from '../../../lib/queries/limits-store.js'
import { parseLimitSet } from '../../../lib/limits/validate.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { METRICS, TELEMETRY } from '../../support/points/built-in.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'

const SETTINGS = { retentionMs: 86_400_000, log: silentLog }
const setOf = (critical: number): LimitSet => ({ default: { [METRICS[0].name]: { low: { critical } } }, overrides: {} })

async function database (t: Test): Promise<{ first: DatabaseConnection, second: DatabaseConnection }> {
  const { url } = await startTestPostgres(t)
  const open = async (): Promise<DatabaseConnection> => await connect(
    url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  const [first, second] = [await open(), await open()]
  t.teardown(async () => { await Promise.all([first.close(), second.close()]) })
  await migrate(first, SETTINGS)
  return { first, second }
}

t.test('the life of limits', async (t) => {
  const { first, second } = await database(t)
  t.equal(await readLimits(first, TELEMETRY), null)
  t.equal(await readLimitVersion(first), 0)

  await Promise.all([seedLimits(first, setOf(1), 'one'), seedLimits(second, setOf(2), 'two')])
  const seeded = await readLimits(first, TELEMETRY)
  t.equal(seeded?.version, 1, 'two hosts start at once: one set')
  t.equal((await readLimitsHistory(first, 10, null)).length, 1)
  await seedLimits(second, setOf(3), 'three')
  t.strictSame(await readLimits(second, TELEMETRY), seeded, 'what is there stays')

  const notices: string[] = []
  let heard = (): void => {}
  await second.listen(LIMITS_CHANNEL, (payload) => {
    notices.push(payload)
    heard()
  })
  const notice = new Promise<void>((resolve) => { heard = resolve })
  const outcomes = await Promise.all([
    replaceLimits(first, TELEMETRY, 1, setOf(4), 'a'), replaceLimits(second, TELEMETRY, 1, setOf(5), 'b')
  ])
  t.equal(outcomes.filter((outcome) => outcome !== null).length, 1, 'two changes at once: one wins')
  const winner = outcomes.find((outcome) => outcome !== null)
  t.equal(winner?.version, 2)
  t.strictSame(await readLimits(first, TELEMETRY), winner)
  await notice
  t.strictSame(notices, ['2'])

  t.equal(await replaceLimits(first, TELEMETRY, 1, setOf(6), 'c'), null)
  t.equal((await replaceLimits(first, TELEMETRY, 2, setOf(7), 'c'))?.version, 3)
  const history = await readLimitsHistory(first, 10, null)
  t.strictSame(history.map(({ version }) => version), [3, 2, 1])
  t.strictSame(history[0], await readLimits(first, TELEMETRY))
  t.strictSame((await readLimitsHistory(first, 1, 3)).map(({ version }) => version), [2])

  await first.query('UPDATE limits SET limits = \'{"default":5}\', version = 9')
  await t.rejects(readLimits(first, TELEMETRY), /version 9.*default must be an object/)
  t.equal(await readLimitVersion(first), 9)
})

t.test('a set that was stored counts, also if its patterns would cost too much to be accepted today', async (t) => {
  const { first } = await database(t)
  const costly = {
    default: {}, overrides: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`*${index}a*`, {}]))
  }
  t.equal(parseLimitSet(costly, TELEMETRY, null).ok, false)
  await seedLimits(first, costly, 'an earlier version')
  t.strictSame((await readLimits(first, TELEMETRY))?.set, costly)
})

t.test('what changes nothing is no change', async (t) => {
  const { first } = await database(t)
  await seedLimits(first, setOf(1), 'one')
  const seeded = await readLimits(first, TELEMETRY)
  if (seeded === null) throw new Error('no limits')
  t.equal(await readOtherLimits(first, TELEMETRY, seeded), null)
  t.strictSame(await replaceLimits(first, TELEMETRY, 1, setOf(1), 'two'), seeded)
  t.equal(await replaceLimits(first, TELEMETRY, 2, setOf(1), 'two'), null, 'the version counts all the same')
  t.equal((await readLimitsHistory(first, 10, null)).length, 1)
  const changed = await replaceLimits(first, TELEMETRY, 1, setOf(2), 'two')
  t.strictSame(await readOtherLimits(first, TELEMETRY, seeded), changed)
  t.strictSame(await readLimits(first, TELEMETRY), changed)
})

t.test('the history is bounded: in versions, in bytes, and in what one answer gives', async (t) => {
  const { first } = await database(t)
  await seedLimits(first, setOf(1), 'one')
  await first.query('UPDATE limits SET version = 5000; DELETE FROM limits_history')
  await first.query(
    `INSERT INTO limits_history
       SELECT version, now(), 'many', '{"default":{}}' FROM generate_series(3900, 5000) version`)
  const versions = async (): Promise<number[]> => (await first.query<{ version: string }>(
    'SELECT version FROM limits_history ORDER BY version')).rows.map(({ version }) => Number(version))
  t.equal((await replaceLimits(first, TELEMETRY, 5000, setOf(2), 'two'))?.version, 5001)
  t.strictSame(await versions(), Array.from({ length: HISTORY_VERSIONS_MAX }, (_, index) => 4002 + index))

  // Text that does not compress: each of these sets takes 3 MB.
  await first.query(`DELETE FROM limits_history WHERE version < 4970;
    UPDATE limits_history SET limits = jsonb_build_object('default', (SELECT string_agg(md5(random()::text), '')
      FROM generate_series(1, 98304)))`)
  const [newest, ...page] = await readLimitsHistory(first, 20, null)
  t.strictSame([newest, ...page].map((limits) => limits?.version), [5001, 5000], 'as many as reach 4 MB')
  t.strictSame((await readLimitsHistory(first, 20, 4971)).map(({ version }) => version), [4970])
  t.strictSame(await readLimitsHistory(first, 20, 4970), [])
  await replaceLimits(first, TELEMETRY, 5001, setOf(3), 'three')
  const kept = await versions()
  t.ok(kept.length > 20 && kept.length < 31, `${kept.length} kept`)
  t.equal(kept.at(-1), 5002)
  t.equal(kept[0], 5003 - kept.length, 'the oldest went')
})
