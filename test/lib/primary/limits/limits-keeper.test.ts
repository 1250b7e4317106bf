/** Limits with a real PostgreSQL: changes by other hosts, lost connections, outages. */
import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { LimitsKeeper, type LimitsKeeperOptions } from '../../../../lib/primary/limits/limits-keeper.js'
import type { LimitSet } from '../../../../lib/limits/limit-set.js'
import { createLogger } from '../../../../lib/support/log.js'
import { connect } from '../../../../lib/database/connection.js'
import type { DatabaseConnection } from '../../../../lib/database/database.js'
import { readLimits, replaceLimits, type StoredLimits } from '../../../../lib/queries/limits-store.js'
import { migrate } from '../../../../lib/schema/migrate.js'
import { METRICS, TELEMETRY } from '../../../support/points/built-in.js'
import { silentLog, startTestPostgres, type TestPostgres } from '../../../support/database/postgres.js'

const SETTINGS = { retentionMs: 86_400_000, log: silentLog }
const setOf = (critical: number): LimitSet => ({ default: { [METRICS[0].name]: { low: { critical } } }, overrides: {} })
const PATIENCE = { signal: AbortSignal.timeout(60_000) }
const HOUR_MS = 3_600_000

interface Keeper {
  readonly keeper: LimitsKeeper
  readonly changes: StoredLimits[]
  readonly events: EventEmitter
  readonly lines: string[]
  readonly connections: DatabaseConnection[]
}

function keeperOf (t: Test, url: string, options: Partial<LimitsKeeperOptions> = {}): Keeper {
  const changes: StoredLimits[] = []
  const connections: DatabaseConnection[] = []
  const lines: string[] = []
  const events = new EventEmitter()
  const keeper = new LimitsKeeper({
    connect: async () => {
      const db = await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
      connections.push(db)
      events.emit('connected')
      return db
    },
    metrics: TELEMETRY,
    configured: setOf(10),
    variables: [{ env: 'ANOMALY_THRESHOLD_BATTERY', metric: METRICS[0].name }],
    log: createLogger({ level: 'info', name: 'test', destination: { write: (line) => { lines.push(line) } } }),
    onChange: (limits) => {
      changes.push(limits)
      events.emit('change')
    },
    pollMs: HOUR_MS,
    ...options
  })
  t.teardown(async () => await keeper.close())
  return { keeper, changes, events, lines, connections }
}

let postgres: TestPostgres
let db: DatabaseConnection

async function opened (t: Test): Promise<void> {
  postgres = await startTestPostgres(t)
  db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await db.close())
  await migrate(db, SETTINGS)
}

t.test('a host and its limits', async (t) => {
  await opened(t)
  await t.test('the configuration only fills an empty database', async (t) => {
    const first = keeperOf(t, postgres.url)
    t.throws(() => first.keeper.current, /read before/)
    await first.keeper.start()
    t.match(first.keeper.current, { version: 1, changedBy: 'configuration', set: setOf(10) })
    t.notMatch(first.lines.join(''), /differ/)
    const second = keeperOf(t, postgres.url, { configured: setOf(11) })
    await second.keeper.start()
    t.strictSame(second.keeper.current, first.keeper.current)
    t.match(second.lines.join(''), /limits in the database differ from the configuration \(ANOMALY_THRESHOLD_BATTERY\)/)
    const third = keeperOf(t, postgres.url, { configured: setOf(11), variables: [] })
    await third.keeper.start()
    t.notMatch(third.lines.join(''), /differ/, 'only what somebody set is worth a warning')
  })
  await t.test('a change applies here at once, and on another host after the notification', async (t) => {
    const [here, there] = [keeperOf(t, postgres.url), keeperOf(t, postgres.url)]
    await Promise.all([here.keeper.start(), there.keeper.start()])
    const { version } = here.keeper.current
    const noticed = once(there.events, 'change', PATIENCE)
    const changed = await here.keeper.replace(version, setOf(20), 'me')
    t.equal(changed?.version, version + 1)
    t.strictSame(here.keeper.current, changed)
    t.strictSame(here.changes, [changed])
    await noticed
    t.strictSame(there.changes, [changed])
    t.equal(await there.keeper.replace(version, setOf(21), 'late'), null)
    t.equal((await there.keeper.latest()).version, version + 1)
  })
  await t.test('polling finds a change whose notification was lost', async (t) => {
    const polling = keeperOf(t, postgres.url, { pollMs: 20 })
    await polling.keeper.start()
    const changed = once(polling.events, 'change', PATIENCE)
    await db.query('UPDATE limits SET version = version + 1')
    await changed
    t.equal(polling.keeper.current.version, (await readLimits(db, TELEMETRY))?.version)
  })
  await t.test('an invalid set changes nothing, and is logged once', async (t) => {
    const polling = keeperOf(t, postgres.url, { pollMs: 10 })
    await polling.keeper.start()
    const before = polling.keeper.current
    const { rows } = await db.query('SELECT limits FROM limits')
    await db.query('UPDATE limits SET limits = \'{}\', version = version + 1')
    while (!polling.lines.some((line) => line.includes('cannot be read'))) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
    t.strictSame(polling.keeper.current, before)
    t.equal(polling.lines.filter((line) => line.includes('cannot be read')).length, 1)
    await t.rejects(keeperOf(t, postgres.url).keeper.start(), /contains an invalid set/)
    await db.query('UPDATE limits SET limits = $1', [JSON.stringify(rows[0]?.['limits'])])
  })
})

t.test('outages of the database', async (t) => {
  await opened(t)
  await t.test('a lost connection is replaced, and missed changes are read', async (t) => {
    const { keeper, connections, events } = keeperOf(t, postgres.url)
    await keeper.start()
    for (let times = 1; times <= 2; times++) {
      const changed = once(events, 'change', PATIENCE)
      const { version } = keeper.current
      await db.query('SELECT pg_terminate_backend($1)', [connections.at(-1)?.backendPid])
      await replaceLimits(db, TELEMETRY, version, setOf(30 + times), 'meanwhile')
      await changed
      t.equal(keeper.current.version, version + 1)
      t.equal(connections.length, times + 1)
    }
  })
  await t.test('a server that falls silent is given up after a deadline, and the connection replaced', async (t) => {
    const { keeper, connections, events } = keeperOf(t, postgres.url, {
      // The keeper's deadline, a hundredth of it.
      connect: async (statementMsMax) => {
        const options = { applicationName: 'test', connectTimeoutMs: 5_000, statementMsMax: statementMsMax / 100 }
        const silent = await connect(postgres.url, options)
        connections.push(silent)
        events.emit('connected')
        return silent
      }
    })
    await keeper.start()
    const { version } = keeper.current
    const pid = connections[0]?.backendPid ?? NaN
    process.kill(pid, 'SIGSTOP')
    const connected = once(events, 'connected', PATIENCE)
    const refused = await keeper.latest().then(() => null, (error: unknown) => error)
    process.kill(pid, 'SIGCONT')
    t.match(refused, { code: 'database_unavailable' })
    await connected
    let latest: StoredLimits | null = null
    while (latest === null) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      latest = await keeper.latest().catch(() => null)
    }
    t.equal(latest.version, version)
  })
  await t.test('during an outage limits stay and changes are refused; then both work again', async (t) => {
    const { keeper, events } = keeperOf(t, postgres.url)
    await keeper.start()
    const before = keeper.current
    await postgres.kill()
    await t.rejects(keeper.replace(before.version, setOf(40), 'me'), { code: 'database_unavailable' })
    await t.rejects(keeper.latest(), { code: 'database_unavailable' })
    t.strictSame(keeper.current, before)
    const connected = once(events, 'connected', PATIENCE)
    await postgres.start()
    await connected
    let changed: StoredLimits | null = null
    while (changed === null) {
      await new Promise((resolve) => setTimeout(resolve, 10))
      changed = await keeper.replace(before.version, setOf(40), 'me').catch(() => null)
    }
    t.equal(changed.version, before.version + 1)
  })
})

t.test('only so many requests wait for the connection', async (t) => {
  const { keeper } = keeperOf(t, 'postgres://nobody')
  const asked = await Promise.allSettled(Array.from({ length: 33 }, async () => await keeper.latest()))
  const codes = asked.map((each) => each.status === 'rejected' ? (each.reason as { code: string }).code : 'ok')
  t.strictSame(codes, [...Array<string>(32).fill('database_unavailable'), 'too_busy'])
  await t.rejects(keeper.latest(), { code: 'database_unavailable' }, 'there is room again')
})
