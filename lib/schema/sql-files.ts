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
 * and so on: see placeholders(). A file whose first line is AGAIN is safe to repeat, and is run again when the
 * catalogue
 * of metrics grows.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Catalogue } from '../../protocol/catalogue.js'
import { identifier, literal } from '../database/quote.js'
import { ROLLUP_LATE_AFTER, ROLLUP_REFRESH_AFTER } from '../upkeep/rollups.js'

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
/**
 * Largest values and sums that are added up. A double ends at 1.8e308: 1e10 values in a bucket stay below SUM_MAX, and
 * 1e8 buckets below its limit. An overflow would fail the statement, and with it every bucket rolled up together.
 */
const VALUE_SUMMED_MAX = '1e290'
const SUM_MAX = '1e300'
const AGAIN = '-- Run again when the catalogue of metrics grows.\n'

type Placeholders = Readonly<Record<string, string>>

/** @param metrics names */
function placeholders (metrics: readonly string[]): Placeholders {
  const forMetrics = (columns: (metric: string) => readonly string[]): string => metrics.flatMap(columns).join(', ')
  return {
    metric_columns: metrics.map(metric => `${identifier(metric)} double precision`).join(',\n  '),
    metric_names: metrics.map(identifier).join(', '),
    metric_literals: metrics.map(literal).join(', '),
    metric_add_columns: forMetrics(metric => [`ADD COLUMN IF NOT EXISTS ${identifier(metric)} double precision`]),
    metric_excluded: forMetrics(metric => [`${identifier(metric)} = excluded.${identifier(metric)}`]),
    rollup_add_columns: forMetrics(metric => rollupColumns(metric).map((column, index) =>
      `ADD COLUMN IF NOT EXISTS ${column} ${index === 0 ? 'bigint NOT NULL DEFAULT 0' : 'double precision'}`)),
    rollup_names: forMetrics(rollupColumns),
    rollup_excluded: forMetrics(metric => rollupColumns(metric).map(column => `${column} = excluded.${column}`)),
    rollup_from_raw: forMetrics(fromRaw),
    rollup_from_rollup: forMetrics(fromRollup),
    rollup_named_from_raw: forMetrics(metric => named(metric, fromRaw(metric))),
    rollup_named_from_rollup: forMetrics(metric => named(metric, fromRollup(metric))),
    rollup_shown: forMetrics(shown),
    rollup_checked_from_raw: forMetrics(metric => fromRaw(metric).slice(0, 3)),
    rollup_checked_from_rollup: forMetrics(metric => fromRollup(metric).slice(0, 3).map((expression, index) =>
      index === 0 ? `coalesce(${expression}, 0)` : expression)),
    rollup_late_after: `interval '${ROLLUP_LATE_AFTER}'`,
    rollup_refresh_after: `interval '${ROLLUP_REFRESH_AFTER}'`
  }
}

/** What rollups store for a metric: count, min, max, sum. */
function rollupColumns (metric: string): string[] {
  return ['count', 'min', 'max', 'sum'].map(aggregate => identifier(`${metric}_${aggregate}`))
}

/** rollupColumns from points. */
function fromRaw (metric: string): string[] {
  const column = identifier(metric)
  return [`count(${column})`, `min(${column})`, `max(${column})`, `sum(${summable(column, VALUE_SUMMED_MAX)})`]
}

/** rollupColumns from finer rollups. */
function fromRollup (metric: string): string[] {
  const [count = '', min = '', max = '', sum = ''] = rollupColumns(metric)
  return [`sum(${count})::bigint`, `min(${min})`, `max(${max})`, `sum(${summable(sum, SUM_MAX)})`]
}

/**
 * A value that cannot overflow a sum: beyond the bound it is infinite, which sums propagate and every average shows.
 */
function summable (value: string, bound: string): string {
  return `CASE WHEN abs(${value}) <= ${bound}::double precision THEN ${value} ` +
    `ELSE ${value} * 'Infinity'::double precision END`
}

function named (metric: string, expressions: readonly string[]): string[] {
  return rollupColumns(metric).map((column, index) => `${expressions[index]} AS ${column}`)
}

/** What the views show for a metric: count, min, max, avg. */
function shown (metric: string): string[] {
  const [count = '', min = '', max = '', sum = ''] = rollupColumns(metric)
  return [count, min, max, `${summable(sum, SUM_MAX)} / nullif(${count}, 0) AS ${identifier(`${metric}_avg`)}`]
}

/**
 * All migrations of a directory, filled in from the catalogue and sorted by number; throws on a malformed name or an
 * unknown placeholder.
 */
export async function readMigrations (catalogue: Catalogue, directory = SQL_DIR): Promise<Migration[]> {
  const values = placeholders(catalogue.schema.metrics)
  const names = (await readdir(directory)).filter(name => name.endsWith('.sql'))
  return await Promise.all(names.sort().map(name => readMigration(directory, name, values)))
}

/** Those to run again when the catalogue of metrics has grown, in order. */
export function migrationsToRepeat (known: readonly Migration[]): Migration[] {
  return known.filter(migration => migration.again)
}

async function readMigration (directory: string, file: string, values: Placeholders): Promise<Migration> {
  const [, name, digits, kind] = FILE_NAME.exec(file) ?? []
  if (name === undefined) throw new TypeError(`sql/${file}: the name is not NNNN-name.{common,plain,timescale}.sql`)
  const text = await readFile(`${directory}/${file}`, 'utf8')
  return {
    version: Number(digits),
    name,
    kind: kind as FileKind,
    checksum: createHash('sha256').update(text).digest('hex'),
    sql: fill(text, file, values),
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
