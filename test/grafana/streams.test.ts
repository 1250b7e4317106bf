/** The dashboards of a catalogue with several streams: every query answers, from the points of its own stream. */
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { parseCatalogue } from '../../lib/catalogue/catalogue-file.js'
import { defaultLimits } from '../../lib/catalogue/default-limits.js'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { inStream } from '../../lib/database/stream-tables.js'
import { seedLimits } from '../../lib/queries/limits-store.js'
import { migrate } from '../../lib/schema/migrate.js'
import { storeIngestSteps } from '../../lib/upkeep/ingest-stats.js'
import { RollUp } from '../../lib/upkeep/rollups.js'
import type { Catalogue } from '../../protocol/catalogue.js'
import { PointColumns } from '../../protocol/columns.js'
import { decodeJsonBatch } from '../../protocol/json/json.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import { generatedFiles } from '../../grafana/generator/generated-files.js'
import { panelsOf, queriesOf, RANGES, type Dashboard, type Panel } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import { ingestStep } from '../support/points/ingest-step.js'
import { startTestPostgres } from '../support/database/postgres.js'
import { SCHEMA_SETTINGS } from '../support/answers/same-answers.js'
import { columnStore } from '../support/database/stored-rows.js'

/** Wide enough for the queries of wide streams, with names that these use themselves, and titles that clash. */
const CELLS = Array.from({ length: 12 }, (_, index) => `cell_${index}: { id: ${index + 10}, title: Cell }`)
const CATALOGUE = catalogueFrom(`{ catalogue: 1, streams: {
  telemetry: { metrics: { rate: { id: 1, unit: Hz, limits: { high: { warning: 8 } } } } },
  power: { id: 2, title: Power, metrics: {
    voltage: { id: 1, title: Bus, unit: V, aliases: [volts, bus], limits: { low: { critical: 20 } } },
    old_voltage: { id: 2, retired: true },
    mode: { id: 3, type: state, states: { SAFE: 0, NOMINAL: 1 }, limits: { states: { warning: [SAFE] } } },
    heater: { id: 4, type: bool, limits: { states: { critical: [true] } } } } },
  wide: { id: 7, title: Power, metrics: {
    value: { id: 1, type: int, limits: { high: { critical: 5 } } }, metric: { id: 2, type: float32 },
    state: { id: 3, type: state, states: { OFF: 0, ON: 1 }, limits: { states: { warning: ['ON'] } } },
    worst: { id: 4, type: bool }, ${CELLS.join(', ')} } },
  gone: { id: 8, retired: true, metrics: { a: { id: 1 } } } } }`)
const NO_THRESHOLDS = {
  threshold_battery_charge_percent: null, threshold_storage_usage_mb: null, threshold_signal_strength_dbm: null
}
const RULES = { timeWindowPastMs: 1e9, timeWindowFutureMs: 1e9, unknownFields: 'reject' as const }
const VARIABLES = { satellite: 'SAT-1', silent: '1m', __searchFilter: '%' }
const FILES = generatedFiles(CATALOGUE)
const BOARDS = [...FILES].filter(([path]) => path.startsWith('dashboards/'))
  .map(([path, text]) => ({ path, dashboard: JSON.parse(text) as Dashboard }))

type Row = Readonly<Record<string, unknown>>

function catalogueFrom (text: string): Catalogue {
  const parsed = parseCatalogue(text)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.catalogue
}

t.test('a dashboard for each stream that is sent, apart from all others', (t) => {
  t.same(BOARDS.map(({ path }) => path), ['fleet', 'satellite', 'stream-power', 'stream-wide', 'ingest']
    .map((name) => `dashboards/${name}.json`))
  for (const key of ['uid', 'title'] as const) {
    t.equal(new Set(BOARDS.map(({ dashboard }) => dashboard[key])).size, BOARDS.length, key)
  }
  for (const { path, dashboard } of BOARDS) {
    t.match(dashboard.uid, /^[a-z0-9_-]{1,40}$/, 'in Grafana\'s format')
    const rows = dashboard.panels.filter(({ type }) => type === 'row')
    const panels = [...panelsOf(dashboard), ...rows]
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, `${path}: ids are unique`)
    const menu = dashboard.links.at(-1)
    t.match(menu, { type: 'dashboards', tags: ['orbitstream-stream'], includeVars: true })
  }
  const panelTitles = ({ title }: Panel): string => title
  const [, , power, wide] = BOARDS.map(({ dashboard }) => panelsOf(dashboard).map(panelTitles))
  t.same(power, ['Last point', 'Points/s', 'Now', 'Bus', 'Mode', 'Heater', 'Anomalies'],
    'a metric with aliases is one panel, a retired one none')
  t.ok(wide?.includes('Cell (cell_0)'))
  t.end()
})

/** Points of three streams; returns when they end, in milliseconds. */
async function fill (t: Test, database: Database): Promise<number> {
  const nowMs = Date.now()
  await migrate(database, { ...SCHEMA_SETTINGS, proposed: CATALOGUE })
  await seedLimits(database, defaultLimits(NO_THRESHOLDS, CATALOGUE), 'test')
  const points: Readonly<Record<string, (second: number) => object>> = {
    telemetry: () => ({ rate: 9 }),
    power: (second) => ({ [second % 2 === 0 ? 'bus' : 'volts']: 7.5, mode: second < 100 ? 'SAFE' : 1, heater: true }),
    wide: () => ({ value: 3, metric: 0.5, state: 'ON', worst: true, cell_11: 4 })
  }
  for (const [name, fields] of Object.entries(points)) {
    const stream = CATALOGUE.stream(name)!
    const columns = new PointColumns(stream.schema)
    const body = JSON.stringify(Array.from({ length: 400 }, (_, second) => (
      { satellite_id: name === 'telemetry' ? 'SAT-2' : 'SAT-1', time: nowMs - second * 1000, ...fields(second) })))
    t.equal(decodeJsonBatch(Buffer.from(body), nowMs * 1000, RULES, new SatelliteTable(), columns), null)
    await (await columnStore(database, stream, { spool: name }))(columns)
    await new RollUp().run(inStream(database, name))
  }
  await database.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    VALUES (now(), 'SAT-1', 'power.mode', 0, 0, 'warning', 'state', 1),
           (now(), 'SAT-1', 'rate', 9, 8, 'warning', 'high', 1)`)
  await storeIngestSteps(database, {
    pending: () => [ingestStep(Math.floor(nowMs / 10_000) * 10_000, {
      instance: 'a', anomaly_kinds: 'power.mode warning,rate warning', anomaly_counts: [3, 4]
    })],
    stored: () => undefined
  })
  return nowMs
}

t.test('every query answers, with the points of its stream', async (t) => {
  const server = await startTestPostgres(t)
  const database = await connect(server.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  t.teardown(async () => await database.close())
  const nowMs = await fill(t, database)
  await database.query('SET ROLE orbitstream_reader')
  const answers = new Map<string, Row[]>()
  const ask = async (title: string, sql: string, rangeMs: number): Promise<void> => {
    const text = expandMacros(sql, {
      from: new Date(nowMs - rangeMs), to: new Date(Date.now() + 10_000), intervalMs: 60_000, variables: VARIABLES
    })
    answers.set(`${title} ${rangeMs}`, (await database.query<Row>(text)).rows)
  }
  for (const { dashboard } of BOARDS) {
    for (const { title, sql } of queriesOf(dashboard)) for (const { rangeMs } of RANGES) await ask(title, sql, rangeMs)
  }
  const [shortest] = RANGES
  const answer = (title: string): Row[] => answers.get(`${title} ${shortest.rangeMs}`) ?? []

  t.match(answer('Fleet: Latest values: Power (power) A'), [{
    Satellite: 'SAT-1',
    Bus: 7.5,
    'Bus limits': 'critical',
    Mode: 0,
    'Mode limits': 'warning',
    Heater: true,
    'Heater limits': 'critical'
  }])
  t.match(answer('Fleet: Latest values: Power (wide) A'), [{
    Satellite: 'SAT-1',
    Value: '3',
    'Value limits': 'ok',
    'State limits': 'warning',
    'Worst limits': 'ok',
    'Cell (cell_11)': 4,
    'Cell (cell_11) limits': 'ok',
    'Cell (cell_0)': null,
    'Cell (cell_0) limits': null
  }])
  t.same(answer('Fleet: Out of limits now A'), [{ 'Out of limits now': '2' }])
  t.same(answer('Fleet: Satellites heard now A'), [{ 'Satellites heard now': '2' }], 'each once')
  t.same([...new Set(answer('Fleet: Anomalies/s by metric and severity A').map(({ metric }) => metric))].sort(),
    ['Power (power): Mode, warning', 'Rate, warning'])
  t.match(answer('Satellite: Power (power): Now A'), [
    { Metric: 'Bus', Value: 7.5, Limits: 'critical', 'low critical': 20 }, { State: 'SAFE', Limits: 'warning' },
    { State: 'true', Limits: 'critical' }
  ])
  t.match(answer('Satellite: Power (power): Anomalies A'), [{ Metric: 'Mode', State: 'SAFE' }])
  t.same(answer('Satellite: Power (wide): Anomalies A'), [])
  t.same(answer('Satellite: Anomalies A').map(({ Metric }) => Metric), ['Rate'])
  t.same(answer('Satellite: variable satellite'), [{ satellite_id: 'SAT-1' }, { satellite_id: 'SAT-2' }])
  for (const { rangeMs } of RANGES) {
    const bus = answers.get(`Satellite: Power (power): Bus A ${rangeMs}`) ?? []
    t.ok(bus.length > 0 && bus.every(({ value }) => value === 7.5), `one line under all names, ${rangeMs}`)
    t.match(answers.get(`Satellite: Power (power): Bus B ${rangeMs}`), [{ metric: 'low critical', value: 20 }])
    const modes = answers.get(`Satellite: Power (power): Mode A ${rangeMs}`) ?? []
    t.equal(modes.at(-1)?.['value'], 0)
    const cells = answers.get(`Satellite: Power (wide): Cell (cell_11) A ${rangeMs}`) ?? []
    t.ok(cells.length > 0 && cells.every(({ value }) => value === 4), String(rangeMs))
  }
  const { groups: [{ rules }] } = parse(FILES.get('provisioning/alerting/orbitstream.yml') ?? '') as {
    groups: [{ rules: Array<{ title: string, data: Array<{ model: { rawSql?: string } }> }> }]
  }
  for (const { title, data } of rules) await ask(title, data[0]?.model.rawSql ?? '', shortest.rangeMs)
  const shares = answer('Many anomalies')
  t.equal(shares.length, CATALOGUE.live.reduce((sum, { live }) => sum + live.length, 0))
  const share = (metric: string): number => Number(shares.find((row) => row['metric'] === metric)?.['percent'])
  // About 300 points of each in five minutes, of which the anomalies are a part.
  t.ok(share('Power (power): Mode') > 0.9 && share('Power (power): Mode') < 1.2, `${share('Power (power): Mode')}`)
  t.ok(share('Rate') > share('Power (power): Mode'), 'of the points of its own stream')
})
