/**
 * The rows that a body or packet may become, according to independent decoders (JSON.parse, msgpackr), for points whose
 * time is an integer in its unit; for others, everything but the time.
 */
import { addExtension, Unpackr } from 'msgpackr'
import { METRICS } from '../support/points/built-in.js'
import type { Format } from './inputs.js'

const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' })
// Where unknown fields are ignored, they may have any type; msgpackr throws on types that it does not know.
for (let type = 0; type < 256; type++) addExtension({ type, unpack: () => ({}) })
const NAMES = METRICS.map(({ name }) => name)
/** Placeholder for an unknown time. */
const ANY_TIME = '*'
/** Cannot occur in an id. */
const SEPARATOR = '\0'

/** A row as text: id, Unix time in microseconds, metrics. */
export function keyOf (id: string, time: string, values: readonly unknown[]): string {
  return [id, time, ...NAMES.map((_, metric) => valueText(values[metric]))].join(SEPARATOR)
}

/** As a 64-bit float; the sign of zero is ignored. */
function valueText (value: unknown): string {
  return value === null || value === undefined ? '' : String(Number(value) + 0)
}

/** The rows; null: not in this format at all. */
export function rowsOf (format: Format, bytes: Buffer): string[] | null {
  try {
    const value = decode(format, bytes)
    const points = Array.isArray(value) ? value as unknown[] : [value]
    const isFrame = format === 'msgpack' && Array.isArray(value) && typeof value[0] === 'number'
    if (isFrame) return (value[4] as unknown[][]).map(frameRow)
    return points.map(pointRow)
  } catch {
    return null
  }
}

function decode (format: Format, bytes: Buffer): unknown {
  if (format === 'msgpack') return unpackr.unpack(bytes)
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  if (format === 'json') return JSON.parse(text)
  return text.split('\n').filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as unknown)
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

/** The same row without its time. */
function withoutTime (key: string): string {
  const [id = '', , ...values] = key.split(SEPARATOR)
  return [id, ANY_TIME, ...values].join(SEPARATOR)
}

/** Rows that must be in the database, and rows that may be, each as often as it was sent. */
export class ExpectedRows {
  private readonly due = new Map<string, number>()
  private readonly possible = new Map<string, number>()

  /** Rows of points that were acknowledged. */
  mustBe (rows: readonly string[]): void {
    for (const row of rows) add(this.due, row)
  }

  /** Rows of points whose fate is unknown to the sender. */
  mayBe (rows: readonly string[]): void {
    for (const row of rows) add(this.possible, row)
  }

  /** Whether the row was expected; uses up one expectation. */
  take (row: string): boolean {
    return [this.due, this.possible].some((rows) => subtract(rows, row) || subtract(rows, withoutTime(row)))
  }

  /** Returns acknowledged rows that were not taken, and starts over. */
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
