/**
 * The columns of a metric: one in the tables of points, several in rollups.
 *
 *   type                   rollups keep               views show
 *   float, float32, int    count, min, max, sum       count, min, max, avg
 *   state                  count, min, max, last      the same: min and max by number, and the latest state
 *   bool                   count, true, last          the same: how many values, how many were true, and the latest
 *
 * A minute is made of six ten-second buckets, so each column must be computable from itself. A count of 0 is kept as
 * null, like the rest of that metric: with METRICS_MAX metrics a row then fits into a page, whichever are missing.
 */
import type { Metric } from '../../protocol/catalogue.js'
import type { MetricType } from '../../protocol/value-types.js'
import { identifier, literal } from './quote.js'

export const COLUMN_TYPES: Readonly<Record<MetricType, string>> = {
  float: 'double precision', float32: 'real', int: 'bigint', bool: 'boolean', state: 'smallint'
}

/** Name and type. */
export function columnOf ({ name, type }: Metric): string {
  return `${identifier(name)} ${COLUMN_TYPES[type]}`
}

/** The column as a number, as decoders have it: a bool is 1 or 0, a state is its number. */
export function numberOf ({ name, type }: Metric): string {
  return asNumber(identifier(name), type)
}

/** The driver would return a bigint as text, and a real as the shortest decimal, which is another double. */
function asNumber (sql: string, type: MetricType): string {
  if (type === 'float') return sql
  return type === 'bool' ? `(${sql})::integer` : `(${sql})::double precision`
}

/** The column as senders may write it, in JSON or as text: true and false, names of states. */
export function sentOf ({ name, type, states }: Metric, form: 'json' | 'text'): string {
  const column = identifier(name)
  if (type === 'bool' && form === 'text') return `${column}::text`
  if (type !== 'state') return column
  const names = literal(JSON.stringify(Object.fromEntries(states.map((state) => [state.value, state.name]))))
  // A state that only a later catalogue has stays a number.
  return form === 'json'
    ? `coalesce(${names}::jsonb -> ${column}::text, to_jsonb(${column}))`
    : `coalesce(${names}::jsonb ->> ${column}::text, ${column}::text)`
}

/** What answers have of a bucket: extremes and average of numbers; the last state or bool, and how many there were. */
export const AGGREGATES = ['min', 'max', 'avg', 'count', 'last'] as const
export type Aggregate = typeof AGGREGATES[number]

/** As numbers, from points or from the views of rollups. */
export function bucketAggregates (metric: Metric, from: 'points' | 'rollups'): Array<readonly [Aggregate, string]> {
  const sqlOf = ({ fromRaw, fromRollup }: RollupColumn): string => from === 'points' ? fromRaw : fromRollup
  const number = (column: RollupColumn): string => asNumber(sqlOf(column), metric.type)
  const counted = `coalesce(${sqlOf(count(metric))}, 0)::double precision`
  if (metric.type === 'bool' || metric.type === 'state') {
    return [['count', counted], ['last', number(last(metric, false))]]
  }
  const average = rolled(metric, 'avg')
  const summed = from === 'points' ? sum(metric).fromRaw : `sum(${average} * ${rolled(metric, 'count')})`
  return [
    ['min', number(extreme(metric, 'min'))], ['max', number(extreme(metric, 'max'))],
    ['avg', averageOf(summed, counted)]
  ]
}

export interface RollupColumn {
  /** Quoted. */
  readonly name: string
  readonly type: string
  /** Shown as 0 rather than null without values. */
  readonly isCount: boolean
  /** From points. */
  readonly fromRaw: string
  /** From finer rollups. */
  readonly fromRollup: string
  /** What the views select. */
  readonly shown: string
}

/**
 * Largest values and sums that are added up. A double ends at 1.8e308: 1e10 values in a bucket stay below SUM_MAX, and
 * 1e8 buckets below its limit. An overflow would fail the statement, and with it every bucket rolled up together.
 */
const VALUE_SUMMED_MAX = '1e290'
const SUM_MAX = '1e300'
/** A smaller sum counts as 0: PostgreSQL fails a division whose result is too small for a double. */
const SUM_MIN = '1e-290'

/** @param hasLast whether the server has TimescaleDB's aggregate last() */
export function rollupColumns (metric: Metric, hasLast: boolean): RollupColumn[] {
  switch (metric.type) {
    case 'state': return [count(metric), extreme(metric, 'min'), extreme(metric, 'max'), last(metric, hasLast)]
    case 'bool': return [count(metric), countTrue(metric), last(metric, hasLast)]
    default: return [count(metric), extreme(metric, 'min'), extreme(metric, 'max'), sum(metric)]
  }
}

/** Those that must be equal whatever the order of the points. */
export function checkedColumns (metric: Metric): RollupColumn[] {
  return metric.type === 'bool'
    ? [count(metric), countTrue(metric)]
    : [count(metric), extreme(metric, 'min'), extreme(metric, 'max')]
}

function rolled ({ name }: Metric, aggregate: string): string {
  return identifier(`${name}_${aggregate}`)
}

function count (metric: Metric): RollupColumn {
  return counting(rolled(metric, 'count'), `count(${identifier(metric.name)})`)
}

function countTrue (metric: Metric): RollupColumn {
  return counting(rolled(metric, 'true'), `count(*) FILTER (WHERE ${identifier(metric.name)})`)
}

function counting (name: string, fromRaw: string): RollupColumn {
  return {
    name,
    type: 'bigint',
    isCount: true,
    fromRaw: `nullif(${fromRaw}, 0)`,
    fromRollup: `sum(${name})::bigint`,
    shown: `coalesce(${name}, 0) AS ${name}`
  }
}

function extreme (metric: Metric, which: 'min' | 'max'): RollupColumn {
  const name = rolled(metric, which)
  return {
    name,
    type: COLUMN_TYPES[metric.type],
    isCount: false,
    fromRaw: `${which}(${identifier(metric.name)})`,
    fromRollup: `${which}(${name})`,
    shown: name
  }
}

function sum (metric: Metric): RollupColumn {
  const name = rolled(metric, 'sum')
  const value = metric.type === 'float'
    ? summable(identifier(metric.name), VALUE_SUMMED_MAX)
    : `${identifier(metric.name)}::double precision`
  return {
    name,
    type: 'double precision',
    isCount: false,
    fromRaw: `sum(${value})`,
    fromRollup: `sum(${summable(name, SUM_MAX)})`,
    shown: `${averageOf(summable(name, SUM_MAX), rolled(metric, 'count'))} AS ${rolled(metric, 'avg')}`
  }
}

/**
 * A value that cannot overflow a sum: beyond the bound it is infinite, which sums propagate and every average shows.
 */
function summable (value: string, bound: string): string {
  return `CASE WHEN abs(${value}) <= ${bound}::double precision THEN ${value} ` +
    `ELSE ${value} * 'Infinity'::double precision END`
}

/** Null without values. */
function averageOf (sum: string, count: string): string {
  return `CASE WHEN abs(${sum}) < ${SUM_MIN}::double precision THEN 0 ELSE ${sum} / nullif(${count}, 0) END`
}

function last (metric: Metric, hasLast: boolean): RollupColumn {
  const name = rolled(metric, 'last')
  const of = (column: string, time: string): string => hasLast
    ? `last(${column}, ${time}) FILTER (WHERE ${column} IS NOT NULL)`
    : lastByArray(column, time, metric.type)
  return {
    name,
    type: COLUMN_TYPES[metric.type],
    isCount: false,
    fromRaw: of(identifier(metric.name), '"time"'),
    fromRollup: of(name, 'bucket'),
    shown: name
  }
}

/** The greatest pair of time and value: unlike an ordered aggregate it needs no sort. */
function lastByArray (column: string, time: string, type: MetricType): string {
  const number = type === 'bool' ? `${column}::integer` : column
  const pair = `ARRAY[date_part('epoch', ${time}), ${number}::double precision]`
  const value = `(max(${pair}) FILTER (WHERE ${column} IS NOT NULL))[2]`
  return type === 'bool' ? `${value}::integer::boolean` : `${value}::smallint`
}
