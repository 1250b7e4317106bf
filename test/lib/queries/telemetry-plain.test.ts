/** Queries for telemetry on PostgreSQL without TimescaleDB. */
import t from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { QUERY_SETTINGS } from '../../../lib/database/query-pool.js'
import { csvHeader, exportRows } from '../../../lib/queries/export-slices.js'
import { METRICS, STREAM } from '../../support/built-in.js'
import { startTestPostgres } from '../../support/postgres.js'
import { telemetryAnswers } from '../../support/telemetry-answers.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 30_000 }
const NAMES = METRICS.map(({ name }) => name)

t.test('every answer is what was stored', async (t) => {
  const { url } = await startTestPostgres(t)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  await telemetryAnswers(t, database, null)

  t.test('an export in slices has every row once, in order, however dense', async (t) => {
    const db = await connect(url, OPTIONS)
    t.teardown(() => db.destroy())
    await database.query(`
      INSERT INTO telemetry (time, satellite_id, battery_charge_percent)
      SELECT now() - interval '20 minutes' + i * interval '10 us', 'DENSE-' || i % 7, i
      FROM generate_series(1, 90000) i`)
    await db.query(QUERY_SETTINGS)
    const filter = {
      satellite: null, stream: STREAM, metrics: METRICS, fromMicros: -60e15, toMicros: (Date.now() + 60_000) * 1000
    }
    let text = ''
    for await (const chunk of exportRows(db, filter, 'csv')) text += chunk.toString()
    const lines = text.trimEnd().split('\n')
    const { rows: [stored] } = await database.query<{ count: number }>('SELECT count(*)::integer FROM telemetry')
    t.equal(lines.length, stored?.count)
    t.equal(new Set(lines).size, lines.length)
    t.strictSame(lines, [...lines].sort(), 'by time and id')
    t.equal(csvHeader(filter), `time,satellite_id,${NAMES.join(',')}\n`)

    const ofOne = { ...filter, satellite: 'DENSE-3', metrics: METRICS.slice(0, 1) }
    let json = ''
    for await (const chunk of exportRows(db, ofOne, 'ndjson')) json += chunk.toString()
    const points = json.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    t.equal(points.length, 12_857)
    t.match(points[1], { time: /^2.*Z$/, satellite_id: 'DENSE-3', [NAMES[0] ?? '']: 10 })
  })
})
