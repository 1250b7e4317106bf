/** `grafana`: dashboards and provisioning for the catalogue in force. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BUILT_IN, type Catalogue } from '../../../../protocol/catalogue.js'
import { readCatalogue } from '../../../schema/catalogue-versions.js'
import { defineCommand, misused, type CommandContext } from '../../command.js'
import { counted } from '../../table.js'
import { readProposed } from './catalogue-proposal.js'
import { errorLog, withDatabase } from '../database.js'

/** Made of grafana/generator by grafana/build.mjs. */
const GENERATOR = new URL('../../../../grafana/bundle/generator.js', import.meta.url)

interface Generator {
  /** Contents by path. */
  readonly generatedFiles: (catalogue: Catalogue) => ReadonlyMap<string, string>
}

const OPTIONS = [
  { name: 'out', type: 'string', placeholder: 'directory', help: 'Where to write dashboards/ and provisioning/.' },
  {
    name: 'catalogue',
    type: 'string',
    placeholder: 'file',
    help: 'Catalogue file to use instead of the one in the database.'
  },
  { name: 'built-in', type: 'boolean', help: 'Use the built-in catalogue instead; needs no database.' }
] as const

type Context = CommandContext<typeof OPTIONS>

export const grafana = defineCommand({
  name: 'grafana',
  summary: 'Write Grafana dashboards, alerts and provisioning for the catalogue in force.',
  options: OPTIONS,
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  async run (context) {
    const { values: { out, catalogue: file, 'built-in': isBuiltIn }, print, complain } = context
    if (out === undefined) return misused('grafana', context, '--out is required')
    if (file !== undefined && isBuiltIn) return misused('grafana', context, 'use either --catalogue or --built-in')
    const catalogue = isBuiltIn ? BUILT_IN : await catalogueOf(context, file)
    if (catalogue === undefined) return 2
    const { generatedFiles } = await import(GENERATOR.href) as Generator
    const files = generatedFiles(catalogue)
    for (const [path, content] of files) {
      const name = join(out, path)
      await mkdir(dirname(name), { recursive: true })
      await writeFile(name, content)
    }
    print(`${counted(files.size, 'file')} written to ${out}.`)
    for (const path of await leftOver(out, files)) {
      complain(`warning: ${join(out, path)} belongs to another catalogue, and Grafana would still show it: delete it`)
    }
    return 0
  }
})

/** Undefined: the file has faults, which were printed. */
async function catalogueOf ({ config, complain }: Context, file: string | undefined): Promise<Catalogue | undefined> {
  if (file === undefined) return await withDatabase(config, errorLog(config, 'grafana'), readCatalogue)
  return await readProposed({ catalogue: file }, complain) ?? undefined
}

/** Dashboards of streams that the catalogue does not have, or not any more. */
async function leftOver (out: string, files: ReadonlyMap<string, string>): Promise<string[]> {
  const there = await readdir(join(out, 'dashboards'))
  return there.map((name) => `dashboards/${name}`)
    .filter((path) => /\/stream-\w+\.json$/.test(path) && !files.has(path)).sort()
}
