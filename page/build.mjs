/** Bundles the live page into dist/page: four files, served as they are. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))
const to = path('../dist/page')

await mkdir(to, { recursive: true })
await build({
  entryPoints: { app: path('main.tsx') },
  outdir: to,
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  legalComments: 'eof',
  logLevel: 'warning',
  tsconfig: path('tsconfig.json')
})
// Not copyFile, which keeps the mode: a clone under umask 077 would make files that the server's user may not read.
for (const name of ['index.html', 'icon.svg']) await writeFile(`${to}/${name}`, await readFile(path(name)))
