/**
 * What Grafana makes of the text of a query before the database sees it: variables, then macros, as its documentation
 * of the
 * PostgreSQL data source says (https://grafana.com/docs/grafana/latest/datasources/postgres/).
 */
import assert from 'node:assert/strict'

export interface MacroSettings {
  readonly from: Date
  readonly to: Date
  /** What a panel of this width and time range asks for. */
  readonly intervalMs: number
  /** Chosen values by the variable's name. */
  readonly variables?: Readonly<Record<string, string>>
  /** The flag of the data source. */
  readonly timescaledb?: boolean
}

export function expandMacros (text: string, settings: MacroSettings): string {
  const { from, to, intervalMs } = settings
  const sql = expandVariables(text, settings.variables ?? {})
    .replaceAll('$__interval_ms', String(intervalMs))
    .replaceAll('$__interval', interval(intervalMs))
    .replaceAll('$__unixEpochFrom()', String(Math.floor(from.getTime() / 1000)))
    .replaceAll('$__unixEpochTo()', String(Math.floor(to.getTime() / 1000)))
    .replaceAll(
      /\$([_a-zA-Z0-9]+)\(([^)]*)\)/g,
      (_, macro: string, list: string) => call(macro, list.split(',').map((argument) => argument.trim()), settings))
  assert.doesNotMatch(sql, /\$__(?!searchFilter)|\$\{|\[\[/, 'nothing is left to expand')
  return sql
}

/**
 * ${name}, ${name:format}, $name. What Grafana 12.4 and newer leave as it is, while nothing was typed: $__searchFilter.
 */
function expandVariables (text: string, variables: Readonly<Record<string, string>>): string {
  type Part = string | undefined
  const references = /\$\{(\w+)(?::(\w+))?\}|\$(?!__(?!searchFilter))([a-zA-Z_]\w*)/g
  return text.replaceAll(references, (whole: string, braced: Part, format: Part, bare: Part) => {
    const name = braced ?? bare ?? ''
    const value = variables[name] ?? (name === '__searchFilter' ? whole : undefined)
    assert.ok(value !== undefined, `variable ${name} is there`)
    if (format === 'sqlstring') return `'${value.replaceAll("'", "''")}'`
    assert.equal(format, undefined, `format ${format ?? ''}`)
    return value
  })
}

function call (macro: string, [first = '', second = '']: readonly string[], settings: MacroSettings): string {
  const iso = (time: Date): string => `'${time.toISOString()}'`
  const seconds = (time: Date): number => Math.floor(time.getTime() / 1000)
  const { from, to, timescaledb = true } = settings
  switch (macro) {
    case '__time': return `${first} AS "time"`
    case '__timeEpoch': return `extract(epoch from ${first}) as "time"`
    case '__timeFilter': return `${first} BETWEEN ${iso(from)} AND ${iso(to)}`
    case '__timeFrom': return iso(from)
    case '__timeTo': return iso(to)
    case '__timeGroup': {
      const width = intervalSeconds(second)
      return timescaledb
        ? `time_bucket('${width.toFixed(
        3)}s',${first})`
        : `floor(extract(epoch from ${first})/${width})*${width}`
    }
    case '__timeGroupAlias': return `${call('__timeGroup', [first, second], settings)} AS "time"`
    case '__unixEpochFilter': return `${first} >= ${seconds(from)} AND ${first} <= ${seconds(to)}`
    case '__unixEpochGroup': return `floor((${first})/${intervalSeconds(second)})*${intervalSeconds(second)}`
    case '__unixEpochGroupAlias': return `${call('__unixEpochGroup', [first, second], settings)} AS "time"`
    default: throw new Error(`unknown macro ${macro}`)
  }
}

const UNITS_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const

/** As Grafana writes it: in the largest unit, rounded down. */
function interval (ms: number): string {
  const [unit, width] = Object.entries(UNITS_MS).find(([, width]) => ms >= width) ?? ['ms', 1]
  return `${Math.floor(ms / width)}${unit}`
}

function intervalSeconds (text: string): number {
  const [, count, unit] = /^'?(\d+)(ms|s|m|h|d)'?$/.exec(text) ?? []
  assert.ok(count !== undefined && unit !== undefined, `interval ${text}`)
  return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS] / 1000
}
