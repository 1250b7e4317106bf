/** Rows that a real PostgreSQL refuses, for what its owner has made: each is found, on the drain's one connection. */
import { telemetryOnly, type Catalogue } from '../../../protocol/catalogue.js'
import { retryQuarantined, type RetryOutcome } from '../../../lib/operations/quarantine.js'
import { BUILT_IN, TELEMETRY } from '../../support/points/built-in.js'
import t, { type Test } from 'tap'
import { createLogger } from '../../../lib/support/log.js'
import { MemoryJournal } from '../../../lib/journal/memory-journal.js'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { Drain } from '../../../lib/drain/drain.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { payloadOf, type PlainPoint } from '../../support/points/limits.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'

const SETTINGS = { retentionMs: 3 * DAY_MS, timeWindowPastMs: 2 * DAY_MS, timeWindowFutureMs: 0, log: silentLog }
const NOW = Math.floor(Date.now() / 1000) * 1_000_000
const log = createLogger({ level: 'fatal', name: 'test', destination: { write: () => {} } })
const ROWS = 200

const { url } = await startTestPostgres(t)
const open = async (): Promise<Database> => await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })
const db = await open()
t.teardown(async () => await db.close())
await migrate(db, SETTINGS)

interface Outcome {
  readonly connections: number
  readonly retries: number
  readonly stored: number
  readonly reasons: readonly string[]
}

/** Stores points as a worker would, after `change`, which is undone at the end. */
async function store (
  t: Test, points: readonly PlainPoint[], change: string, undo: string, catalogue: Catalogue = BUILT_IN
): Promise<Outcome> {
  await db.query(`TRUNCATE telemetry, quarantined_rows, ingest_ledger; ${change}`)
  t.teardown(async () => await db.query(`TRUNCATE telemetry; ${undo}`))
  const journal = new MemoryJournal({ spoolId: 'test/0', epoch: 1, bytesMax: 1e9 })
  let connections = 0
  const drain = new Drain({
    catalogue,
    journal,
    connect: async () => {
      connections++
      return await open()
    },
    log,
    copyBytesMax: 1e9,
    intervalMs: 0,
    onCommitted: () => {}
  })
  journal.append({ payload: payloadOf(points), rows: points.length, spooled: () => {}, committed: () => {} })
  journal.end()
  await drain.run()
  const { rows } = await db.query<{ stored: number, reasons: string[] }>(
    'SELECT (SELECT count(*)::int FROM telemetry) AS stored, ' +
    '(SELECT array_agg(reason) FROM quarantined_rows) AS reasons')
  return { connections, retries: drain.retries, stored: rows[0]?.stored ?? NaN, reasons: rows[0]?.reasons ?? [] }
}

const points = (idOf: (index: number) => string): PlainPoint[] =>
  Array.from({ length: ROWS }, (_, index): PlainPoint => [idOf(index), NOW + Math.floor(index / 2), 1])

t.test('a constraint that refuses some rows, or each of them', async (t) => {
  const change = 'ALTER TABLE telemetry ADD CONSTRAINT no_bad CHECK (satellite_id <> \'BAD\')'
  const undo = 'ALTER TABLE telemetry DROP CONSTRAINT no_bad'
  await t.test('some', async (t) => {
    const { reasons, ...rest } = await store(t, points((index) => index % 7 === 0 ? 'BAD' : 'OK'), change, undo)
    t.strictSame(rest, { connections: 1, retries: 0, stored: ROWS - Math.ceil(ROWS / 7) })
    t.equal(reasons.length, Math.ceil(ROWS / 7))
  })
  await t.test('each', async (t) => {
    const { reasons, ...rest } = await store(t, points(() => 'BAD'), change, undo)
    t.strictSame(rest, { connections: 1, retries: 0, stored: 0 })
    t.equal(reasons.length, ROWS)
    t.ok(reasons.every((reason) => reason.includes('no_bad')))
  })
})

t.test('a trigger that raises an exception refuses its row, not the others', async (t) => {
  for (const code of ['P0001', 'U0001']) await refusing(t, code)
})

async function refusing (t: Test, code: string): Promise<void> {
  const change = `
    CREATE FUNCTION refuse_bad () RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.satellite_id = 'BAD' THEN
        RAISE EXCEPTION 'satellite % is not ours', NEW.satellite_id USING ERRCODE = '${code}';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse_bad BEFORE INSERT ON telemetry FOR EACH ROW EXECUTE FUNCTION refuse_bad()`
  const undo = 'DROP FUNCTION IF EXISTS refuse_bad CASCADE'
  const bad = Math.ceil(ROWS / 7)
  const { reasons, ...rest } = await store(t, points((index) => index % 7 === 0 ? 'BAD' : 'OK'), change, undo)
  t.strictSame(rest, { connections: 1, retries: 0, stored: ROWS - bad })
  t.strictSame(reasons, Array(bad).fill('satellite BAD is not ours'))
  await db.query(undo)
}

t.test('a partition that cannot be made beside a DEFAULT one holds up nothing', async (t) => {
  const later = NOW + 30 * DAY_MS * 1000
  const change = `
    CREATE TABLE telemetry_rest PARTITION OF telemetry DEFAULT;
    INSERT INTO telemetry ("time", satellite_id) VALUES (to_timestamp(${later / 1e6}), 'THERE')`
  const mixed: readonly PlainPoint[] = [['A', NOW, 11], ['A', later, 11], ['A', NOW + 1, 1]]
  const { reasons, ...rest } = await store(t, mixed, change, 'DROP TABLE telemetry_rest')
  t.strictSame(rest, { connections: 1, retries: 0, stored: mixed.length + 1 })
  t.match(reasons, [/no partition of relation "anomalies"/], 'the anomaly of that day')
})

for (const when of ['at once', 'at COMMIT']) {
  t.test(`rows refused because of another one, ${when}: the second is quarantined`, async (t) => {
    const deferred = when === 'at COMMIT' ? 'DEFERRABLE INITIALLY DEFERRED' : ''
    const add = `ALTER TABLE telemetry ADD CONSTRAINT only_one UNIQUE (satellite_id, "time") ${deferred}`
    const drop = 'ALTER TABLE telemetry DROP CONSTRAINT only_one'
    const { reasons, ...rest } = await store(t, points(() => 'SAME'), add, drop)
    t.strictSame(rest, { connections: 1, retries: 0, stored: ROWS / 2 })
    t.equal(reasons.length, ROWS / 2)
  })
}

t.test('rows of a later catalogue are quarantined with what to do, and stored once it is in force', async (t) => {
  const earlier = telemetryOnly(BUILT_IN.telemetry.metrics.slice(0, 2))
  const late: readonly PlainPoint[] = [['A', NOW, 1, 11, 12], ['B', NOW, NaN, 3, 13], ['B', NOW, NaN, 3, 13]]
  const { reasons, ...rest } = await store(t, late, 'TRUNCATE anomalies', '', earlier)
  t.strictSame(rest, { connections: 1, retries: 0, stored: 0 })
  t.equal(reasons.length, late.length + 4, 'points, and their anomalies')
  t.match(reasons[0], /^a row has 3 metrics, but the catalogue in force has 2: .*catalogue apply.*quarantine retry/)
  const retry = async (catalogue: Catalogue): Promise<RetryOutcome> =>
    await retryQuarantined(db, catalogue, 'all', () => undefined)
  const { stored: none, reasons: kept } = await retry(earlier)
  t.equal(none, 0)
  t.equal(kept.get('the row is an anomaly, and its point is still in quarantine'), 4)
  const { stored, reasons: left } = await retry(BUILT_IN)
  t.equal(stored, late.length + 4)
  t.strictSame([...left], [])
  const { rows } = await db.query(`SELECT satellite_id, ${TELEMETRY.metrics[2]} AS last FROM telemetry ORDER BY 1`)
  const { rows: anomalies } = await db.query('SELECT satellite_id, value FROM anomalies ORDER BY 1, 2')
  t.strictSame(anomalies, [['A', 11], ['A', 12], ['B', 13], ['B', 13]].map(([id, value]) =>
    ({ satellite_id: id, value })))
  t.strictSame(rows, [{ satellite_id: 'A', last: 12 }, ...Array(2).fill({ satellite_id: 'B', last: 13 }) as object[]])
})
