/** `npm run grafana`: regenerates dashboards and provisioning. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generatedFiles } from './files.js'

/** From dist/grafana/generator. */
const GRAFANA = new URL('../../../grafana/', import.meta.url)

for (const [path, content] of generatedFiles()) {
  const file = fileURLToPath(new URL(path, GRAFANA))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
  process.stdout.write(`${file}\n`)
}
