import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { BUILT_IN, THRESHOLDS } from '../../protocol/catalogue.js'

const ROOT = new URL('../../../', import.meta.url)

t.test('no module but the catalogue names a metric', (t) => {
  const names = BUILT_IN.telemetry.schema.metrics
  const files = ['lib/', 'protocol/', 'sql/', 'grafana/generator/', 'grafana/queries/'].flatMap((folder) =>
    readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|sql)$/.test(file)).map((file) => folder + file))
  t.ok(files.length > 200)
  const naming = files.filter((file) => {
    // Comments give examples.
    const code = readFileSync(new URL(file, ROOT), 'utf8').replaceAll(/\/\*[^]*?\*\/|^\s*(\/\/|--).*$/gm, '')
    return names.some((name) => code.includes(name))
  })
  t.same(naming, ['lib/catalogue/example.ts', 'protocol/catalogue.ts'])
  t.same(THRESHOLDS.map(({ metric }) => metric), names)
  t.end()
})
