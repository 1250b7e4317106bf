/**
 * The migration files of sql/, named NNNN-name.kind.sql.
 *
 * The kind is the server that a file is for: common, plain (without TimescaleDB) or timescale. A number is used once
 * per kind of server. Placeholders are filled from the catalogue of metrics, so that no file names one:
 *
 *   {{metric_columns}}    "a" double precision, "b" double precision
 *   {{metric_names}}      "a", "b"
 *   {{metric_literals}}   'a', 'b'
 *   {{rollup_names}}      "a_count", "a_min", "a_max", "a_sum", "b_count", …
 *
 * and so on: see placeholders(). Rollups have columns by type of the metric: metric-columns.ts. A file whose first line
 * is AGAIN is safe to repeat, and is run again when the catalogue of metrics grows.
 *
 * They create the stream `telemetry`. Other streams are created from the same files, those of OF_STREAMS, under other
 * names (stream-tables.ts).
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Catalogue, Metric, Stream } from '../../protocol/catalogue.js'
import { identifier, literal } from '../database/quote.js'
import { streamSql } from '../database/stream-tables.js'
import { ROLLUP_LATE_AFTER, ROLLUP_REFRESH_AFTER } from '../upkeep/rollups.js'
import { COLUMN_TYPES, checkedColumns, columnOf, rollupColumns, type RollupColumn } from '../database/metric-columns.js'

export type FileKind = 'common' | 'plain' | 'timescale'

export interface Migration {
  readonly version: number
  /** NNNN-name */
  readonly name: string
  readonly kind: FileKind
  /** Of the file, placeholders included: a new metric does not change a migration. */
  readonly checksum: string
  /** Ready to run. */
  readonly sql: string
  /** Run again when the catalogue of metrics grows. */
  readonly again: boolean
}

/** From dist/lib/schema. */
const SQL_DIR = fileURLToPath(new URL('../../../sql', import.meta.url))
const FILE_NAME = /^((\d{4})-[a-z0-9-]+)\.(common|plain|timescale)\.sql$/
/** Migrations whose tables, views and functions each stream has. */
const OF_STREAMS: ReadonlySet<number> = new Set([2, 5, 6, 11, 16, 18])
const AGAIN = '-- Run again when the catalogue of metrics grows.\n'

type Placeholders = Readonly<Record<string, string>>

function placeholders (metrics: readonly Metric[], kind: FileKind): Placeholders {
  const forMetrics = (columns: (metric: Metric) => readonly string[]): string => metrics.flatMap(columns).join(', ')
  const forRollups = (text: (column: RollupColumn) => string): string => forMetrics((metric) => (
    rollupColumns(metric, kind === 'timescale').map(text)))
  const forChecks = (text: (column: RollupColumn) => string): string => forMetrics((metric) => (
    checkedColumns(metric).map((column) => column.isCount ? `coalesce(${text(column)}, 0)` : text(column))))
  const names = metrics.map(({ name }) => identifier(name))
  return {
    metric_columns: metrics.map(columnOf).join(',\n  '),
    metric_names: names.join(', '),
    metric_literals: metrics.map(({ name }) => literal(name)).join(', '),
    metric_types: metrics.map(({ name, type }) => `(${literal(name)}, ${literal(COLUMN_TYPES[type])})`).join(', '),
    metric_add_columns: forMetrics((metric) => [`ADD COLUMN IF NOT EXISTS ${columnOf(metric)}`]),
    metric_excluded: names.map((name) => `${name} = excluded.${name}`).join(', '),
    rollup_add_columns: forRollups(({ name, type }) => `ADD COLUMN IF NOT EXISTS ${name} ${type}`),
    rollup_names: forRollups(({ name }) => name),
    rollup_excluded: forRollups(({ name }) => `${name} = excluded.${name}`),
    rollup_from_raw: forRollups(({ fromRaw }) => fromRaw),
    rollup_from_rollup: forRollups(({ fromRollup }) => fromRollup),
    rollup_named_from_raw: forRollups(({ name, fromRaw }) => `${fromRaw} AS ${name}`),
    rollup_named_from_rollup: forRollups(({ name, fromRollup }) => `${fromRollup} AS ${name}`),
    rollup_shown: forRollups(({ shown }) => shown),
    rollup_checked_from_raw: forChecks(({ fromRaw }) => fromRaw),
    rollup_checked_from_rollup: forChecks(({ fromRollup }) => fromRollup),
    rollup_late_after: `interval '${ROLLUP_LATE_AFTER}'`,
    rollup_refresh_after: `interval '${ROLLUP_REFRESH_AFTER}'`
  }
}

/**
 * All migrations of a directory, filled in from the catalogue and sorted by number; throws on a malformed name or an
 * unknown placeholder.
 */
export async function readMigrations (catalogue: Catalogue, directory = SQL_DIR): Promise<Migration[]> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.sql'))
  return await Promise.all(names.sort().map(name => readMigration(directory, name, catalogue.telemetry)))
}

/** What creates the tables, views and functions of a stream other than `telemetry`, in order. */
export async function readStreamMigrations (
  stream: Stream, kind: Exclude<FileKind, 'common'>, directory = SQL_DIR
): Promise<Migration[]> {
  const names = (await readdir(directory)).filter(name => name.endsWith('.sql'))
  const all = await Promise.all(names.sort().map(name => readMigration(directory, name, stream)))
  return all.filter((migration) =>
    OF_STREAMS.has(migration.version) && (migration.kind === kind || migration.kind === 'common'))
}

/** Those to run again when the catalogue of metrics has grown, in order. */
export function migrationsToRepeat (known: readonly Migration[]): Migration[] {
  return known.filter(migration => migration.again)
}

async function readMigration (
  directory: string, file: string, { name: stream, metrics }: Stream
): Promise<Migration> {
  const [, name, digits, kind] = FILE_NAME.exec(file) ?? []
  if (name === undefined) throw new TypeError(`sql/${file}: the name is not NNNN-name.{common,plain,timescale}.sql`)
  const text = await readFile(`${directory}/${file}`, 'utf8')
  return {
    version: Number(digits),
    name,
    kind: kind as FileKind,
    checksum: createHash('sha256').update(text).digest('hex'),
    // Renamed before names of metrics come in.
    sql: fill(streamSql(text, stream), file, placeholders(metrics, kind as FileKind)),
    again: text.startsWith(AGAIN)
  }
}

function fill (text: string, file: string, values: Placeholders): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key]
    if (value === undefined) throw new TypeError(`sql/${file}: unknown placeholder ${key}`)
    return value
  })
}
