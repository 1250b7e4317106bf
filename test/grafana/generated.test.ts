/** The files in grafana/ are up to date and consistent. */
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { generatedFiles } from '../../grafana/generator/generated-files.js'
import { parseCatalogue } from '../../lib/catalogue/catalogue-file.js'
import { EXAMPLE } from '../../lib/catalogue/example.js'
import type { Catalogue } from '../../protocol/catalogue.js'
import { BUILT_IN, METRICS } from '../support/points/built-in.js'
import { runIngest } from '../support/programs/command.js'
import { temporaryDirectory } from '../support/database/postgres.js'
import { ALERT_RULES, DASHBOARDS, grafanaFile, panelsOf, type Panel } from '../../grafana/queries/dashboards.js'

interface DataSource {
  readonly uid: string
  readonly type: string
  readonly isDefault?: boolean
  readonly url: string
  readonly user?: string
  readonly jsonData: Readonly<Record<string, unknown>>
  readonly secureJsonData?: Readonly<Record<string, string>>
}

const { datasources: DATA_SOURCES } = parse(grafanaFile('provisioning/datasources/orbitstream.yml')) as {
  datasources: DataSource[]
}
const UIDS = DATA_SOURCES.map(({ uid }) => uid)
/** Grafana's own. */
const GRAFANAS_OWN = ['-- Grafana --', '__expr__']

t.test('the files match the generator: otherwise run "npm run grafana"', async (t) => {
  const files = generatedFiles(BUILT_IN)
  for (const [path, content] of files) t.ok(grafanaFile(path) === content, path)
  for (const folder of ['dashboards', 'provisioning']) {
    const there = await readdir(
      fileURLToPath(new URL(`../../../grafana/${folder}`, import.meta.url)),
      { recursive: true }
    )
    t.same(there.filter((name) => /\.\w+$/.test(name)).map((name) => `${folder}/${name}`).sort(), [...files.keys()]
      .filter((path) => path.startsWith(folder))
      .sort(), 'and nothing else')
  }
})

t.test('the command writes the same, and names what is left of another catalogue', async (t) => {
  const directory = await temporaryDirectory(t)
  const [file, out] = [join(directory, 'catalogue.yaml'), join(directory, 'out')]
  await writeFile(file, EXAMPLE)
  const parsed = parseCatalogue(EXAMPLE)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const written = async (catalogue: Catalogue): Promise<void> => {
    for (const [path, content] of generatedFiles(catalogue)) {
      t.ok(await readFile(join(out, path), 'utf8') === content, path)
    }
  }
  t.same(await runIngest(['grafana', '--catalogue', file, '--out', out]), {
    code: 0, out: `9 files written to ${out}.\n`, err: ''
  })
  await written(parsed.catalogue)
  const again = await runIngest(['grafana', '--built-in', '--out', out])
  t.match(again, { code: 0, out: /^6 files/, err: /^warning: .*stream-power\.json belongs to another catalogue.*\n.*radio.*thermal/s })
  await written(BUILT_IN)
  t.match(await runIngest(['grafana', '--built-in']), { code: 2, err: /--out is required/ })
  t.match(
    await runIngest(['grafana', '--built-in', '--catalogue', file, '--out', out]), { code: 2, err: /either/ })
  await writeFile(file, EXAMPLE.replace('id: 1', 'id: 0'))
  t.match(
    await runIngest(['grafana', '--catalogue', file, '--out', out]), { code: 2, err: /catalogue\.yaml:\d+:\d+: .*id must/ })
})

t.test('data sources', (t) => {
  const [postgres, prometheus] = DATA_SOURCES
  t.equal(DATA_SOURCES.filter(({ isDefault }) => isDefault).length, 1)
  t.match(postgres, {
    type: 'grafana-postgresql-datasource',
    user: 'orbitstream_reader',
    url: '$ORBITSTREAM_DB_ADDRESS',
    secureJsonData: { password: '$ORBITSTREAM_DB_PASSWORD' }
  })
  t.equal(postgres!.jsonData['timescaledb'], true, 'a boolean: a variable would make it text, which Grafana rejects')
  t.match(prometheus, { type: 'prometheus', url: '$ORBITSTREAM_PROMETHEUS_URL' })
  t.equal(new Set(UIDS).size, 2)
  t.end()
})

t.test('dashboards are found', (t) => {
  const { providers } = parse(grafanaFile('provisioning/dashboards/orbitstream.yml')) as {
    providers: Array<{ type: string, options: { path: string } }>
  }
  t.match(providers, [{ type: 'file', options: { path: '/var/lib/grafana/dashboards' } }])
  t.end()
})

for (const dashboard of DASHBOARDS) {
  t.test(`dashboard ${dashboard.title}`, (t) => {
    const panels = panelsOf(dashboard)
    const ids = [...panels, ...dashboard.panels.filter(({ type }) => type === 'row')].map(({ id }) => id)
    t.equal(new Set(ids).size, ids.length, 'ids are unique')
    t.equal(new Set(panels.map(({ title }) => title)).size, panels.length, 'titles are unique')
    for (const panel of panels) checkPanel(t, panel)
    checkGrid(t, dashboard.panels)
    t.equal(dashboard.timezone, 'utc')
    t.equal(dashboard.refresh, '2s')
    const known = (dashboard.templating.list ?? []).map(({ name }) => name)
    const text = JSON.stringify(dashboard)
    const used = [...text.matchAll(/\$\{(\w+)(?::\w+)?\}/g)]
      .map(([, name = '']) => name)
      .filter((name) => !name.startsWith('__'))
    t.same(
      [...new Set(used)].sort(),
      [...known].sort(),
      'every variable that is used is there, and every one that is there is used'
    )
    for (const [, uid = ''] of text.matchAll(/"uid":"([^"]+)"/g)) {
      t.ok([...UIDS, ...GRAFANAS_OWN, dashboard.uid].includes(uid), `data source ${uid}`)
    }
    const linked = [
      ...dashboard.links.map(({ url }) => url),
      ...[...text.matchAll(/"url":"(\/d\/[^"]+)"/g)].map(([, url = '']) => url)
    ]
    for (const url of linked) t.ok(DASHBOARDS.some(({ uid }) => url.split('/')[2] === uid), url)
    t.equal(new Set(dashboard.links.map(({ url }) => url)).size, DASHBOARDS.length - 1, 'links to the others')
    t.end()
  })
}

function checkPanel (t: Test, panel: Panel): void {
  const { title, description, targets = [], fieldConfig, datasource } = panel
  t.ok(title !== '' && (description ?? '').length > 10, `${title} says what it shows`)
  t.ok((fieldConfig?.defaults.noValue ?? '') !== '', `${title} says what it means when there is nothing`)
  t.ok(
    targets.length > 0 && new Set(targets.map(({ refId }) => refId)).size === targets.length,
    `${title}: queries have names of their own`
  )
  for (const target of targets) {
    t.equal(target.datasource.uid, datasource?.uid, `${title}: one data source`)
    t.ok((target.rawSql ?? target.expr ?? '') !== '')
  }
}

function checkGrid (t: Test, panels: readonly Panel[]): void {
  const taken = new Map<string, string>()
  for (const { title, gridPos: { x, y, w, h } } of panels.flatMap((panel) => [panel, ...panel.panels ?? []])) {
    t.ok(x >= 0 && x + w <= 24 && w > 0 && h > 0, `${title} is in the grid`)
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        const key = `${column},${row}`
        if (taken.has(key)) t.fail(`${title} lies upon ${taken.get(key)!}`)
        taken.set(key, title)
      }
    }
  }
}

t.test('every metric of the catalogue is present, with its limits', (t) => {
  const [fleet, satellite] = DASHBOARDS
  for (const { name, title } of METRICS) {
    const panel = panelsOf(satellite!).find((each) => each.title === title)
    t.equal(panel?.targets?.length, 2, title)
    t.ok(panel?.targets?.every(({ rawSql = '' }) => rawSql.includes(name)), name)
    t.ok(panelsOf(fleet!).some(({ title, targets = [] }) => title === 'Latest values' &&
      targets.some(({ rawSql = '' }) => rawSql.includes(`"${name}"`))), `${name} in the table`)
  }
  t.end()
})

t.test('alert rules', (t) => {
  t.same(ALERT_RULES.map(({ title }) => title), [
    'No points for a minute', 'A server does not report', 'Spool is growing', 'UDP packets are lost', 'Many anomalies'
  ])
  t.equal(new Set(ALERT_RULES.map(({ uid }) => uid)).size, ALERT_RULES.length)
  for (const { uid, title, condition, data, dashboardUid, panelId, annotations } of ALERT_RULES) {
    t.match(uid, /^[a-z-]{1,40}$/, 'in Grafana\'s format')
    const panels = panelsOf(DASHBOARDS.find((dashboard) => dashboard.uid === dashboardUid)!)
    t.ok(panels.some(({ id }) => id === panelId), `${title} leads to a panel`)
    t.same([annotations['__dashboardUid__'], annotations['__panelId__']], [dashboardUid, String(panelId)])
    t.ok(data.some(({ refId }) => refId === condition))
    t.ok(data.every(({ datasourceUid }) => [UIDS[0], '__expr__'].includes(datasourceUid)), 'without Prometheus')
    t.equal(data.find(({ model }) => model.expression !== undefined)?.model.expression, 'A')
  }
  t.notMatch(
    grafanaFile('provisioning/alerting/orbitstream.yml'),
    /\$/,
    'nothing that Grafana would take for a variable of the environment'
  )
  t.end()
})
