/** `catalogue`: write, import, check and compare catalogue files, put one into force, and see what is in force. */
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { Catalogue, StreamStorage } from '../../../../protocol/catalogue.js'
import { catalogueJson } from '../../../catalogue/catalogue-json.js'
import { isSameCatalogue, type StreamChange, type StreamMetric } from '../../../catalogue/evolution.js'
import { EXAMPLE } from '../../../catalogue/example.js'
import { STORAGE_KEYS, storageFields } from '../../../catalogue/storage.js'
import { formatDuration } from '../../../config/setting-types.js'
import { IMPORT_FORMATS } from '../../../catalogue/import/import-catalogue.js'
import type { Database } from '../../../database/database.js'
import {
  planCatalogue, readCatalogue, readCatalogueHistory, type CataloguePlan
} from '../../../schema/catalogue-versions.js'
import { planAdditions } from '../../../schema/catalogue-additions.js'
import { migrateSchema, planMigrations } from '../../../schema/migrate.js'
import { policyStatements } from '../../../schema/timescale-policies.js'
import { userAtHost } from '../../../host/user-at-host.js'
import { systemCode } from '../../../support/errors.js'
import { defineCommand, misused, type CommandContext } from '../../command.js'
import { counted } from '../../table.js'
import { importFile } from './catalogue-import.js'
import { readProposed } from './catalogue-proposal.js'
import { errorLog, withDatabase } from '../database.js'

const ACTIONS = ['init', 'import', 'check', 'diff', 'apply', 'show', 'history'] as const
type Action = typeof ACTIONS[number]
const FILE_ACTIONS: ReadonlySet<Action> = new Set(['init', 'import', 'check', 'diff', 'apply'])
const INIT_FILE = 'catalogue.yaml'
const SCHEMA_FILE = 'catalogue.schema.json'
const SCHEMA = fileURLToPath(new URL(`../../../../../protocol/${SCHEMA_FILE}`, import.meta.url))
const OPTIONS = [
  { name: 'from', type: 'enum', values: IMPORT_FORMATS, help: 'import: what the file is.' },
  { name: 'out', type: 'string', placeholder: 'file', help: 'import: file to write; default: standard output.' },
  { name: 'stream', type: 'texts', placeholder: 'name', help: 'import: only this packet; may be repeated.' },
  { name: 'count', type: 'integer', min: 1, max: 1_000, default: 20, help: 'history: how many versions.' },
  { name: 'json', type: 'boolean', help: 'show: print JSON instead of YAML.' }
] as const

type Context = CommandContext<typeof OPTIONS>

export const catalogue = defineCommand({
  name: 'catalogue',
  summary:
    'Write an example catalogue of metrics, or import one; check, compare or apply a file; show the one in force and ' +
    'its history.',
  options: OPTIONS,
  settings: ['dataDir', 'databaseUrl', 'logLevel'],
  positionals: { usage: '<init [FILE]|import FILE|check FILE|diff FILE|apply FILE|show|history>', min: 1, max: 2 },
  async run (context) {
    const [word, file] = context.positionals
    const action = ACTIONS.find((known) => known === word)
    if (action === undefined) {
      return misused('catalogue', context, `"${String(word)}" is not one of ${ACTIONS.join(', ')}`)
    }
    if (!FILE_ACTIONS.has(action) && file !== undefined) return misused('catalogue', context, `${action} takes no file`)
    if (action === 'init') return await init(context, file ?? INIT_FILE)
    if (!FILE_ACTIONS.has(action)) return await look(context, action)
    if (file === undefined) return misused('catalogue', context, `${action} needs a file`)
    if (action === 'import') return await importInto(context, file)
    const proposed = await readProposed({ catalogue: file }, context.complain)
    return proposed == null ? 2 : await useFile(context, action, file, proposed)
  }
})

async function importInto (context: Context, file: string): Promise<number> {
  const { from, out, stream: streams } = context.values
  const format = IMPORT_FORMATS.find((known) => known === from)
  if (format === undefined) {
    return misused('catalogue', context, `import needs --from with one of ${IMPORT_FORMATS.join(', ')}`)
  }
  return await importFile({ file, format, out, streams }, context)
}

/** Never overwrites a catalogue, which is somebody's work; replaces the schema beside it. */
async function init ({ print, complain }: Context, file: string): Promise<number> {
  const schema = await readFile(SCHEMA, 'utf8')
  try {
    await writeFile(file, EXAMPLE, { flag: 'wx' })
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
    complain(`error: ${file} already exists; choose another name`)
    return 1
  }
  await writeFile(join(dirname(file), SCHEMA_FILE), schema)
  print(`${file} is an example; ${SCHEMA_FILE} lets editors complete and check it. Start a server with it:\n` +
    `  CATALOGUE=${file} orbitstream-ingest start`)
  return 0
}

async function look ({ config, values, print }: Context, action: Action): Promise<number> {
  return await withDatabase(config, errorLog(config, 'catalogue'), async (db) => {
    if (action === 'show') {
      const json = catalogueJson(await readCatalogue(db))
      print(values.json ? JSON.stringify(json) : stringify(JSON.parse(JSON.stringify(json))).trimEnd())
      return 0
    }
    for (const { version, changedAt, changedBy, catalogue } of await readCatalogueHistory(db, values.count)) {
      print(`${String(version).padStart(6)}  ${changedAt}  ${describeSize(catalogue)}  ${changedBy}`)
    }
    return 0
  })
}

async function useFile (context: Context, action: Action, file: string, proposed: Catalogue): Promise<number> {
  const { config, print } = context
  if (action === 'check') {
    const retired = proposed.streams.flatMap(({ metrics }) => metrics.filter((metric) => metric.retired))
    print(`${file} is valid: ${describeSize(proposed)} in use, ${retired.length} retired.`)
    return 0
  }
  const log = errorLog(config, 'catalogue')
  return await withDatabase(config, log, async (db) => {
    if (action === 'diff') return await diff(context, db, proposed)
    const plan = await planCatalogue(db, { proposed, revert: true })
    await migrateSchema(db, { log, proposed, revert: true, changedBy: `catalogue apply: ${userAtHost()}` })
    print(describeChange(plan))
    if (!isSameCatalogue(plan.catalogue, plan.inForce.catalogue)) {
      print('Restart running servers, one at a time, to use the new catalogue.')
    }
    return 0
  })
}

/** What applying would do. */
async function diff ({ print }: Context, db: Database, proposed: Catalogue): Promise<number> {
  const plan = await planMigrations(db, { proposed, revert: true })
  print(describeChange(plan))
  const addition = await planAdditions(db, plan)
  const hasPolicies = plan.kind === 'timescale' && !plan.isNew
  const policies = hasPolicies ? await policyStatements(db, plan.catalogue.streams, {}) : []
  for (const sql of [...addition?.statements ?? [], ...policies]) print(`${sql};`)
  return 0
}

/** "3 streams with 21 metrics" */
function describeSize ({ live }: Catalogue): string {
  const metrics = counted(live.reduce((sum, stream) => sum + stream.live.length, 0), 'metric')
  return live.length === 1 ? metrics : `${counted(live.length, 'stream')} with ${metrics}`
}

function describeStreamChange ({ before, stream, what }: StreamChange): string[] {
  const { name } = stream
  const [from, to] = [storageFields(before.storage), storageFields(stream.storage)]
  const changes = STORAGE_KEYS.filter((key) => from[key] !== to[key]).map((key) => (
    `${key} ${to[key] ?? "the server's setting"} instead of ${from[key] ?? "the server's setting"}`))
  return [
    `~ ${name}: ${[...what.filter((key) => key !== 'storage'), ...changes].join(', ')}`,
    ...from.retention === to.retention ? [] : describeDeletion(name, before.storage, stream.storage)
  ]
}

/** Whether a change of retention deletes points. What the servers' RETENTION is, is not known here. */
function describeDeletion (name: string, before: StreamStorage, { retentionMs }: StreamStorage): string[] {
  if (before.retentionMs !== null && retentionMs !== null && before.retentionMs <= retentionMs) return []
  const age = retentionMs === null ? "the server's RETENTION" : formatDuration(retentionMs)
  return [`! ${name}: points older than ${age} will be deleted, with their rollups`]
}

function describeChange ({ evolution }: CataloguePlan): string {
  const { addedStreams, retiredStreams, changedStreams, added, retired, changed } = evolution
  const named = ({ stream, metric }: StreamMetric): string => stream.qualify(metric.name)
  const isRetired = ({ metric }: StreamMetric): boolean => retired.some((each) => each.metric === metric)
  const lines = [
    ...addedStreams.map(({ id, name, metrics }) =>
      `+ ${name} (id ${id}): a new table, with ${counted(metrics.length, 'metric')}, and its rollups`),
    ...added.filter(({ stream }) => !addedStreams.includes(stream)).map((each) => {
      const { id, unit } = each.metric
      return `+ ${named(each)} (id ${id}${unit === '' ? '' : `, ${unit}`}): a new column`
    }),
    ...retiredStreams.map(({ name }) => `- ${name}: retired; its tables and points stay`),
    ...retired.map((each) => `- ${named(each)}: retired; its column and points stay`),
    ...changedStreams.flatMap(describeStreamChange),
    ...changed.filter((each) => !isRetired(each)).map((each) =>
      `~ ${named(each)}: ${each.what.map((key) => key === 'simulation' ? 'simulate' : key).join(', ')}`)
  ]
  return lines.length === 0 ? 'The catalogue is already in force.' : lines.join('\n')
}
