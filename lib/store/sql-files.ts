/**
 * The migrations of sql/, as files: NNNN-name.kind.sql.
 *
 * The kind says which servers a file is for: common, plain (without TimescaleDB) or timescale. A number may stand once
 * per kind of server. Placeholders are filled from the catalogue of metrics, so that no file names one:
 *
 *   {{metric_columns}}    "a" double precision, "b" double precision
 *   {{metric_names}}      "a", "b"
 *   {{metric_literals}}   'a', 'b'
 *   {{partition_lock}}    key of the advisory lock that guards partitions
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { METRICS } from '../../protocol/metrics.js'

export type FileKind = 'common' | 'plain' | 'timescale'

export interface Migration {
  readonly version: number
  /** NNNN-name */
  readonly name: string
  readonly kind: FileKind
  /** As it stands in the file: a new metric is no change of a migration. */
  readonly checksum: string
  /** Ready to run. */
  readonly sql: string
}

/** From dist/lib/store to the root of the package. */
const SQL_DIR = fileURLToPath(new URL('../../../sql', import.meta.url))
const FILE_NAME = /^((\d{4})-[a-z0-9-]+)\.(common|plain|timescale)\.sql$/
/** Key of the advisory lock under which partitions are made and dropped: any number that nobody else locks. */
export const PARTITION_LOCK = 7_305_110_401

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  metric_columns: METRICS.map(metric => `${identifier(metric.name)} double precision`).join(',\n  '),
  metric_names: METRICS.map(metric => identifier(metric.name)).join(', '),
  metric_literals: METRICS.map(metric => literal(metric.name)).join(', '),
  partition_lock: String(PARTITION_LOCK)
}

/** A name as SQL has it. */
export function identifier (name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function literal (text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** All migrations of a folder, sorted by number; throws where a name does not read or a placeholder is unknown. */
export async function readMigrations (directory = SQL_DIR): Promise<Migration[]> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.sql'))
  return await Promise.all(names.sort().map(name => readMigration(directory, name)))
}

async function readMigration (directory: string, file: string): Promise<Migration> {
  const [, name, digits, kind] = FILE_NAME.exec(file) ?? []
  if (name === undefined) throw new TypeError(`sql/${file}: the name is not NNNN-name.common|plain|timescale.sql`)
  const text = await readFile(`${directory}/${file}`, 'utf8')
  return {
    version: Number(digits),
    name,
    kind: kind as FileKind,
    checksum: createHash('sha256').update(text).digest('hex'),
    sql: fill(text, file)
  }
}

function fill (text: string, file: string): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = PLACEHOLDERS[key]
    if (value === undefined) throw new TypeError(`sql/${file}: unknown placeholder ${key}`)
    return value
  })
}
