/**
 * Bundles the generator of dashboards into dist/grafana/bundle, with the parts of Grafana's SDK that it uses: the SDK
 * itself, 11 MB, is only needed to build. Modules of lib/ and protocol/ and packages are imported as usual.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))
const to = path('../dist/grafana/bundle')
const SDK = '@grafana/grafana-foundation-sdk'

/** Another form of dashboards, which other builders in the same modules make, and nobody here uses. */
const withoutSecondForm = {
  name: 'without-second-form',
  setup ({ onLoad }) {
    onLoad({ filter: /grafana-foundation-sdk.*(dashboardv2|V2Builder|isualizationBuilder)/ }, () => ({ contents: '' }))
  }
}

await mkdir(to, { recursive: true })
await build({
  entryPoints: { generator: path('generator/generated-files.ts') },
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // The paths are right in the result, too: it lies as deep.
  external: ['../../protocol/*', '../../lib/*', 'yaml'],
  logLevel: 'warning',
  tsconfig: path('../tsconfig.json'),
  plugins: [withoutSecondForm]
})
await writeFile(`${to}/LICENSE-${SDK.split('/')[1]}.txt`, await readFile(path(`../node_modules/${SDK}/LICENSE`)))
