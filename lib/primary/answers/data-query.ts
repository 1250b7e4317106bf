/** Parses query parameters for limits and anomalies; the error message names every problem. */
import { SEVERITIES } from '../../limits/limit-set.js'
import type { AnomalyCursor, AnomalyFilter } from '../../queries/anomaly-query.js'
import { listNames, type PointSchema } from '../../../protocol/schema.js'
import { SATELLITE_ID_RULE, isSatelliteId } from '../../../protocol/satellites.js'
import { parseIsoTime } from '../../../protocol/time.js'

export type Read<T> = { readonly ok: true, readonly value: T } | { readonly ok: false, readonly message: string }

const ANOMALIES_COUNT = 100
const ANOMALIES_COUNT_MAX = 10_000
const HISTORY_COUNT = 20
const HISTORY_COUNT_MAX = 100
/** 100,000 days from 1970, in the year 2243: still a safe integer. */
const MICROS_MAX = 100_000 * 86_400e6
/** Longest parameter name repeated in a message. */
const ECHO_MAX = 64

class Parameters {
  readonly problems: string[] = []
  private readonly values = new Map<string, string>()

  constructor (query: string, known: readonly string[]) {
    for (const [name, value] of new URLSearchParams(query)) {
      if (!known.includes(name)) {
        const shown = JSON.stringify(name.slice(0, ECHO_MAX))
        this.problems.push(`unknown parameter ${shown}; known parameters are ${known.join(', ')}`)
      } else if (this.values.has(name)) {
        this.problems.push(`${name} is given more than once`)
      } else {
        this.values.set(name, value)
      }
    }
  }

  /** @param read returns null for an invalid value */
  get<T> (name: string, fallback: T, read: (text: string) => T | null, rule: string): T {
    const text = this.values.get(name)
    if (text === undefined) return fallback
    const value = read(text)
    if (value === null) this.problems.push(`${name} ${rule}`)
    return value ?? fallback
  }

  getCount (name: string, fallback: number, most: number): number {
    return this.get(name, fallback, wholeNumber(1, most), `must be a whole number from 1 to ${most}`)
  }

  result<T> (value: T): Read<T> {
    return this.problems.length === 0 ? { ok: true, value } : { ok: false, message: `${this.problems.join('; ')}.` }
  }
}

export function readAnomalyFilter (query: string, { metrics }: PointSchema): Read<AnomalyFilter> {
  const parameters = new Parameters(query, ['since', 'until', 'satellite', 'metric', 'severity', 'limit', 'cursor'])
  const timeRule = 'must be a time: ISO 8601 with a time zone, or milliseconds since 1970'
  return parameters.result({
    sinceMicros: parameters.get('since', null, readTime, timeRule),
    untilMicros: parameters.get('until', null, readTime, timeRule),
    satellite: parameters.get('satellite', null, (text) => isSatelliteId(text) ? text : null, SATELLITE_ID_RULE),
    metric: parameters.get('metric', null, oneOf(metrics), `must be one of ${listNames(metrics)}`),
    severity: parameters.get('severity', null, oneOf(SEVERITIES), `must be one of ${SEVERITIES.join(', ')}`),
    cursor: parameters.get('cursor', null, readCursor, 'must be the "next" of an earlier answer'),
    countMax: parameters.getCount('limit', ANOMALIES_COUNT, ANOMALIES_COUNT_MAX)
  })
}

export function readHistoryQuery (query: string): Read<{ readonly countMax: number, readonly before: number | null }> {
  const parameters = new Parameters(query, ['limit', 'before'])
  return parameters.result({
    countMax: parameters.getCount('limit', HISTORY_COUNT, HISTORY_COUNT_MAX),
    before: parameters.get('before', null, wholeNumber(1, Number.MAX_SAFE_INTEGER), 'must be a version')
  })
}

/** Encodes a cursor for use in a URL. */
export function cursorText ({ timeMicros, satellite, metric, given }: AnomalyCursor): string {
  return Buffer.from(JSON.stringify([timeMicros, satellite, metric, given])).toString('base64url')
}

function readCursor (text: string): AnomalyCursor | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(value) || value.length !== 4) return null
    const [timeMicros, satellite, metric, given] = value as unknown[]
    if (!isWhole(timeMicros, -MICROS_MAX, MICROS_MAX) || !isWhole(given, 1, Number.MAX_SAFE_INTEGER)) return null
    if (typeof satellite !== 'string' || !isSatelliteId(satellite)) return null
    if (typeof metric !== 'string' || metric.includes('\0')) return null
    return { timeMicros, satellite, metric, given }
  } catch {
    return null
  }
}

function isWhole (value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
}

function readTime (text: string): number | null {
  // The plus sign of a time zone arrives as a space if the client did not encode it.
  const micros = /^-?\d{1,15}$/.test(text) ? Number(text) * 1000 : parseIsoTime(text.replace(' ', '+'))
  return isWhole(micros, -MICROS_MAX, MICROS_MAX) ? micros : null
}

function wholeNumber (least: number, most: number): (text: string) => number | null {
  return (text) => /^\d{1,16}$/.test(text) && isWhole(Number(text), least, most) ? Number(text) : null
}

function oneOf (values: readonly string[]): (text: string) => string | null {
  return (text) => values.includes(text) ? text : null
}
