/**
 * Which rows a body or packet may become, by decoders that are not ours (JSON.parse, msgpackr), for the points whose time
 * is a whole number of the unit; of others everything but the time is known.
 */
import { addExtension, Unpackr } from 'msgpackr'
import { METRICS } from '../../protocol/metrics.js'
import type { Format } from './inputs.js'

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })
// Where unknown fields are ignored, they may be of any type; msgpackr throws at those that it does not know.
for (let type = 0; type < 256; type++) addExtension({ type, unpack: () => ({}) })
const NAMES = METRICS.map(({ name }) => name)
/** Stands for a time that is not known. */
const ANY_TIME = '*'
/** Stands in no id. */
const SEPARATOR = '\0'

/** A row as text: id, time in microseconds since 1970, metrics. */
export function keyOf (id: string, time: string, values: readonly unknown[]): string {
  return [id, time, ...NAMES.map((_, metric) => valueText(values[metric]))].join(SEPARATOR)
}

/** As a 64-bit float, whose zero has no sign here. */
function valueText (value: unknown): string {
  return value === null || value === undefined ? '' : String(Number(value) + 0)
}

/** The rows; null: it is not of this format at all. */
export function rowsOf (format: Format, bytes: Buffer): string[] | null {
  try {
    const value = decode(format, bytes)
    const points = Array.isArray(value) ? value as unknown[] : [value]
    if (format === 'msgpack' && Array.isArray(value) && typeof value[0] === 'number') return (value[4] as unknown[][]).map(frameRow)
    return points.map(pointRow)
  } catch {
    return null
  }
}

function decode (format: Format, bytes: Buffer): unknown {
  if (format === 'msgpack') return unpackr.unpack(bytes)
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  return format === 'json' ? JSON.parse(text) : text.split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as unknown)
}

function pointRow (point: unknown): string {
  const fields = point as Record<string, unknown>
  const time = fields['time'] ?? fields['timestamp']
  const exact = typeof time === 'number' && Number.isSafeInteger(time) ? String(BigInt(time) * 1_000n) : ANY_TIME
  return keyOf(fields['satellite_id'] as string, exact, NAMES.map((name) => fields[name]))
}

function frameRow ([id, time, ...values]: readonly unknown[]): string {
  return keyOf(id as string, typeof time === 'number' && Number.isSafeInteger(time) ? String(time) : ANY_TIME, values)
}

/** The same row with its time unknown. */
function withoutTime (key: string): string {
  const [id = '', , ...values] = key.split(SEPARATOR)
  return [id, ANY_TIME, ...values].join(SEPARATOR)
}

/** The rows that must be in the database, and those that may be, each as often as it was sent. */
export class ExpectedRows {
  private readonly due = new Map<string, number>()
  private readonly possible = new Map<string, number>()

  /** Rows of points that were acknowledged. */
  mustBe (rows: readonly string[]): void {
    for (const row of rows) add(this.due, row)
  }

  /** Rows of points of which nobody was told what became of them. */
  mayBe (rows: readonly string[]): void {
    for (const row of rows) add(this.possible, row)
  }

  /** Whether a row was to be expected; counts it off. */
  take (row: string): boolean {
    return [this.due, this.possible].some((rows) => subtract(rows, row) || subtract(rows, withoutTime(row)))
  }

  /** Those that were acknowledged and are not there. From here on nothing is expected. */
  end (): string[] {
    const missing = [...this.due.keys()]
    this.due.clear()
    this.possible.clear()
    return missing
  }
}

function add (rows: Map<string, number>, row: string): void {
  rows.set(row, (rows.get(row) ?? 0) + 1)
}

function subtract (rows: Map<string, number>, row: string): boolean {
  const times = rows.get(row) ?? 0
  if (times > 1) rows.set(row, times - 1)
  return times > 1 || rows.delete(row)
}
