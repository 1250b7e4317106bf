/**
 * `npm run grafana`: writes dashboards and provisioning anew, for the built-in catalogue.
 *
 *   npm run grafana -- CATALOGUE OUT   those of a catalogue, as "catalogue show --json" prints it, into a directory
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { parseCatalogue } from '../../lib/catalogue/catalogue-file.js'
import { generatedFiles } from './files.js'

/** From dist/grafana/generator. */
const GRAFANA = new URL('../../../grafana/', import.meta.url)

const [file, out] = process.argv.slice(2)
const parsed = file === undefined ? null : parseCatalogue(await readFile(file, 'utf8'))
if (parsed?.ok === false) {
  throw new Error(
  `${String(file)} has faults: ${parsed.faults.map(({ path, message }) => `${path} ${message}`).join('; ')}`)
}
const target = out === undefined ? GRAFANA : pathToFileURL(`${resolve(out)}/`)
for (const [path, content] of generatedFiles(parsed?.catalogue ?? BUILT_IN)) {
  const name = fileURLToPath(new URL(path, target))
  await mkdir(dirname(name), { recursive: true })
  await writeFile(name, content)
  process.stdout.write(`${name}\n`)
}
