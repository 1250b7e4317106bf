/** The dashboards of a catalogue with metrics of all types: every query answers, and states have their names. */
import t from 'tap'
import { connect } from '../../lib/database/connection.js'
import { defaultLimits } from '../../lib/catalogue/default-limits.js'
import { seedLimits } from '../../lib/queries/limits-store.js'
import { migrate } from '../../lib/schema/migrate.js'
import { RollUp } from '../../lib/upkeep/rollups.js'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch } from '../../protocol/json/json.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { generatedFiles } from '../../grafana/generator/generated-files.js'
import { queriesOf, RANGES, type Dashboard } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import { catalogueOf } from '../support/points/catalogues.js'
import { startTestPostgres } from '../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { columnStore } from '../support/database/stored-rows.js'

const CATALOGUE = catalogueOf(
  'volts: { id: 1, type: float32, limits: { low: { warning: 5 } } }', 'boots: { id: 2, type: int }',
  'mode: { id: 3, type: state, states: { NOMINAL: 1, SAFE: 0, LOST: -1 }, ' +
    'limits: { states: { warning: [SAFE], critical: [LOST] } } }',
  'heater: { id: 4, type: bool, limits: { states: { warning: [true] } } }', 'charge: { id: 5 }')
const NO_THRESHOLDS = {
  threshold_battery_charge_percent: null, threshold_storage_usage_mb: null, threshold_signal_strength_dbm: null
}
const RULES = { timeWindowPastMs: 1e9, timeWindowFutureMs: 1e9, unknownFields: 'reject' as const }

type Row = Readonly<Record<string, unknown>>

t.test('every query of generated dashboards', async (t) => {
  const server = await startTestPostgres(t)
  const database = await connect(server.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await database.close())
  await migrate(database, { ...SCHEMA_SETTINGS, proposed: CATALOGUE })
  await seedLimits(database, defaultLimits(NO_THRESHOLDS, CATALOGUE), 'test')
  const nowMs = Date.now()
  const points = Array.from({ length: 400 }, (_, second) => ({
    satellite_id: 'SAT-1',
    time: nowMs - second * 1000,
    volts: 7.1,
    boots: 3,
    heater: second % 60 < 30,
    charge: 5.25,
    mode: second < 100 ? 'SAFE' : 'NOMINAL'
  }))
  const columns = new PointColumns(CATALOGUE.telemetry.schema)
  const body = Buffer.from(JSON.stringify(points))
  t.equal(decodeJsonBatch(body, nowMs * 1000, RULES, new SatelliteTable(), columns), null)
  await (await columnStore(database, CATALOGUE.telemetry))(columns)
  await database.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    SELECT time, satellite_id, 'mode', mode, mode, 'warning', 'state', 1 FROM telemetry WHERE mode = 0`)
  await new RollUp().run(database)
  await database.query('SET ROLE orbitstream_reader')
  const files = generatedFiles(CATALOGUE)
  const answers = new Map<string, Row[]>()
  for (const board of ['fleet', 'satellite']) {
    for (const { title, sql } of queriesOf(JSON.parse(files.get(`dashboards/${board}.json`) ?? '') as Dashboard)) {
      for (const { rangeMs } of RANGES) {
        const text = expandMacros(sql, {
          from: new Date(nowMs - rangeMs),
          to: new Date(nowMs + 1_000),
          intervalMs: 60_000,
          variables: { satellite: 'SAT-1', silent: '1m', __searchFilter: '%' }
        })
        answers.set(`${title} ${rangeMs}`, (await database.query<Row>(text)).rows)
      }
    }
  }
  const shortest = RANGES[0].rangeMs
  const [latest] = answers.get(`Fleet: Latest values A ${shortest}`) ?? []
  t.match(latest, {
    Satellite: 'SAT-1',
    Mode: 0,
    'Mode limits': 'warning',
    Heater: true,
    'Heater limits': 'warning',
    'Volts limits': 'ok'
  })
  const now = answers.get(`Satellite: Now A ${shortest}`)
  t.match(now?.map((row) => [row['Metric'], row['Value'], row['State'], row['Limits']]), [
    ['Volts', Math.fround(7.1), null, 'ok'], ['Boots', 3, null, 'ok'], ['Mode', null, 'SAFE', 'warning'],
    ['Heater', null, 'true', 'warning'], ['Charge', 5.25, null, 'ok']
  ])
  t.match(answers.get(`Satellite: Anomalies A ${shortest}`)?.[0], { Metric: 'Mode', State: 'SAFE', Side: 'state' })
  t.match(answers.get(`Satellite: annotation Anomalies ${shortest}`)?.[0], { text: /^Mode is SAFE: 0, \d+ points$/ })
  for (const { rangeMs } of RANGES) {
    const timeline = answers.get(`Satellite: Mode A ${rangeMs}`) ?? []
    t.equal(timeline.at(-1)?.['value'], 0, `the latest state, ${rangeMs}`)
    t.same([...new Set(timeline.map(({ value }) => value))].sort(), timeline.length > 3 ? [0, 1] : [0], String(rangeMs))
    t.ok((answers.get(`Satellite: Heater A ${rangeMs}`) ?? []).every(({ value }) => value === 0 || value === 1))
  }
})
