/**
 * COPY tuples encoded and decoded by hand, with BigInt, from the PostgreSQL manual alone: a reference for the product's
 * own row code.
 */
import { METRICS, METRIC_COUNT } from './built-in.js'
import * as fc from 'fast-check'

export interface PlainRow {
  readonly id: Buffer
  /** Unix time. */
  readonly timeMicros: bigint
  readonly values: ReadonlyArray<number | null>
}

const POSTGRES_EPOCH_MICROS = BigInt(Date.UTC(2000, 0, 1)) * 1000n

function field (bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

export function encodeRow (row: PlainRow): Buffer {
  const count = Buffer.alloc(2)
  count.writeInt16BE(2 + METRIC_COUNT)
  const time = Buffer.alloc(8)
  time.writeBigInt64BE(row.timeMicros - POSTGRES_EPOCH_MICROS)
  const metrics = row.values.map((value) => {
    if (value === null) return Buffer.from('ffffffff', 'hex')
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleBE(value)
    return field(bytes)
  })
  return Buffer.concat([count, field(time), field(row.id), ...metrics])
}

/** A frame's payload of these rows, without anomalies: see lib/pipeline/rows/payload.ts. */
export function encodePayload (rows: readonly PlainRow[]): Buffer {
  const telemetry = Buffer.concat(rows.map(encodeRow))
  const head = Buffer.alloc(8)
  head.writeUInt32BE(telemetry.length)
  return Buffer.concat([head, telemetry])
}

/** Decodes tuples up to `end`; throws if the bytes are not telemetry tuples. */
export function decodeRows (bytes: Buffer, start = 0, end = bytes.length): PlainRow[] {
  const rows: PlainRow[] = []
  let at = start
  const next = (): Buffer | null => {
    const length = bytes.readInt32BE(at)
    at += 4
    if (length === -1) return null
    if (length < 0 || at + length > end) throw new Error(`field of ${length} bytes at ${at}`)
    at += length
    return Buffer.from(bytes.subarray(at - length, at))
  }
  while (at < end) {
    const count = bytes.readInt16BE(at)
    at += 2
    if (count !== 2 + METRIC_COUNT) throw new Error(`tuple of ${count} fields at ${at}`)
    const time = next()
    const id = next()
    if (time?.length !== 8 || id === null) throw new Error(`no time or no satellite at ${at}`)
    const values = METRICS.map(() => next()?.readDoubleBE(0) ?? null)
    rows.push({ id, timeMicros: time.readBigInt64BE() + POSTGRES_EPOCH_MICROS, values })
  }
  return rows
}

/** The tuples of a complete COPY stream; its header and trailer are checked. */
export function decodeCopy (stream: Buffer): PlainRow[] {
  const header = Buffer.concat([Buffer.from('PGCOPY\n'), Buffer.from([0xff, 0x0d, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0])])
  if (!stream.subarray(0, header.length).equals(header)) throw new Error('not the header of a COPY stream')
  if (stream.readInt16BE(stream.length - 2) !== -1) throw new Error('not the trailer of a COPY stream')
  return decodeRows(stream, header.length, stream.length - 2)
}

/** A row as text, comparable whatever bytes its id has. */
export function rowText (row: PlainRow): string {
  const values = row.values.map((value) => Object.is(value, -0) ? '-0' : String(value))
  return `${row.id.toString('hex')} ${row.timeMicros} ${values.join(',')}`
}

/** 1 to 64 code points of any script that is allowed in a satellite id. */
export const satelliteIds: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 12 }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 64 }),
  fc.array(fc.constantFrom('😀', '𐀀', '\u{10ffff}', '\uffff', '\ue000', 'é', '日', 'Z'), { minLength: 1, maxLength: 64 })
    .map((parts) => parts.join(''))
).filter((id) => !/[\p{Cc}\p{Cs}]/u.test(id) && id.trim() === id)

const MICROS_1900 = Date.UTC(1900, 0, 1) * 1000
const MICROS_2100 = Date.UTC(2100, 0, 1) * 1000

/** Whole microseconds from 1900 to 2100, often at the limits of the two halves of the int64. */
export const timesMicros: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: MICROS_1900, max: MICROS_2100 }),
  fc.tuple(fc.integer({ min: -700_000, max: 700_000 }), fc.integer({ min: -2, max: 2 }))
    .map(([high, low]) => Number(POSTGRES_EPOCH_MICROS) + high * 2 ** 32 + low)
).filter((micros) => micros >= MICROS_1900 && micros <= MICROS_2100)

export const metricValues: fc.Arbitrary<Array<number | null>> = fc.array(
  fc.option(fc.double({ noNaN: true }), { nil: null }), { minLength: METRIC_COUNT, maxLength: METRIC_COUNT })
