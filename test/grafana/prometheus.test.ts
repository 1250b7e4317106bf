/** Every metric and label in a PromQL query is exported by a running server, and what it counts is in ingest_stats. */
import t from 'tap'
import { request } from 'undici'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { DASHBOARDS, panelsOf } from '../../grafana/queries/dashboards.js'
import { eventually } from '../support/eventually.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

const QUERIES = DASHBOARDS.flatMap(panelsOf).flatMap(({ title, targets = [] }) =>
  targets.flatMap(({ expr, legendFormat = '' }) => expr === undefined ? [] : [{ title, expr, legendFormat }]))

/** Label names by sample name. */
function samplesOf (text: string): Map<string, Set<string>> {
  const samples = new Map<string, Set<string>>()
  for (const line of text.split('\n')) {
    const [, name, labels = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name !== undefined) {
      samples.set(name, new Set([
        ...samples.get(name) ?? [],
        ...[...labels.matchAll(/([a-z]+)="/g)].map(([, label = '']) => label)
      ]))
    }
  }
  return samples
}

async function newest (database: Database): Promise<Record<string, unknown> | undefined> {
  const { rows } = await database.query(`
    SELECT sum(http_points)::int AS http, sum(committed_points)::int AS stored, sum(rejected_points)::int AS rejected,
           sum(requests)::int AS requests,
           max(workers_ready)::int AS workers, max(satellites_heard)::int AS heard, max(ack_p99_seconds) > 0 AS ack,
           (SELECT format('%s %s', anomaly_kinds, anomaly_counts) FROM ingest_stats
            WHERE anomaly_counts <> '{}' LIMIT 1) AS anomalies, count(DISTINCT instance)::int AS servers
    FROM ingest_stats`)
  return rows[0]
}

t.test('a server with an HTTP and a UDP worker', async (t) => {
  const postgres = await startTestPostgres(t)
  const ingest = await startIngest(t, {
    dataDir: await temporaryDirectory(t),
    databaseUrl: postgres.url,
    udpPort: '0',
    args: ['--workers', '1']
  })
  const post = async (body: string): Promise<number> => (await request(`${ingest.url}/telemetry/batch`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body
  })).statusCode
  t.equal(
    await post('[{"satellite_id":"A","battery_charge_percent":1},{"satellite_id":"B","battery_charge_percent":50}]'),
    202
  )
  t.equal(await post('[{"satellite_id":"A","colour":1}]'), 400)
  const samples = samplesOf(await (await request(`${ingest.url}/metrics`)).body.text())

  t.ok(QUERIES.length >= 10)
  for (const { title, expr, legendFormat } of QUERIES) {
    const names = [...expr.matchAll(/orbitstream_\w+/g)].map(([name]) => name)
    t.ok(names.length > 0, title)
    for (const name of names) t.ok(samples.has(name), `${title}: ${name} is shown by /metrics`)
    const labels = [
      ...[...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',')),
      ...[...expr.matchAll(/\{(\w+)=/g)].map(([, label = '']) => label),
      ...[...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label)
    ]
    for (const label of labels) {
      t.ok(names.some((name) => samples.get(name)?.has(label.trim())), `${title}: label ${label.trim()}`)
    }
  }

  const database = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(() => database.close())
  const row = await eventually('the step with these points is stored', 15_000, async () => {
    const found = await newest(database)
    return found?.['stored'] === 2 && found['heard'] === 2 ? found : undefined
  })
  t.match(row, {
    http: 2,
    stored: 2,
    rejected: 1,
    requests: 1,
    workers: 2,
    heard: 2,
    ack: true,
    anomalies: 'battery_charge_percent critical {1}',
    servers: 1
  })
  t.equal(await ingest.program.stop(), 0)
})
