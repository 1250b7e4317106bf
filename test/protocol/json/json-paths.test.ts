/** The fast and the exact path of JSON agree: on what senders write, on every spelling of it, and on damaged bytes. */
import t from 'tap'
import fc from 'fast-check'
import { PointColumns } from '../../../protocol/columns.js'
import type { DecodeFault } from '../../../protocol/faults.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../../protocol/json/json.js'
import { readBatchExactly, readLinesExactly, readPointExactly } from '../../../protocol/json/json-exact.js'
import { readBatchFast, readLinesFast, readPointFast } from '../../../protocol/json/json-fast.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../support/points/built-in.js'
import { PointReader, type DecodeRules } from '../../../protocol/point.js'
import { SatelliteTable } from '../../../protocol/satellites.js'

const NOW_MICROS = Date.UTC(2026, 10, 23, 12) * 1000 + 7
const NOW_MS = Date.UTC(2026, 10, 23, 12)
const RULES: DecodeRules = { timeWindowPastMs: 30 * 86_400_000, timeWindowFutureMs: 300_000, unknownFields: 'reject' }
const FORMS = [
  {
    decode: decodeJsonPoint,
    readFast: readPointFast,
    readExactly: readPointExactly,
    join: (points: string[]) => points[0] ?? ''
  },
  {
    decode: decodeJsonBatch,
    readFast: readBatchFast,
    readExactly: readBatchExactly,
    join: (points: string[]) => `[${points.join(',')}]`
  },
  {
    decode: decodeNdjson,
    readFast: readLinesFast,
    readExactly: readLinesExactly,
    join: (points: string[]) => points.join('\n')
  }
] as const

const satellites = new SatelliteTable()
const columnsOf = {
  fast: new PointColumns(TELEMETRY, 1),
  exact: new PointColumns(TELEMETRY, 1),
  both: new PointColumns(TELEMETRY, 1)
}

const numberText = (value: number): string => Object.is(value, -0) ? '-0' : String(value)

/** The columns as text, with distinct NaN and -0. */
const dump = (columns: PointColumns): string => JSON.stringify([
  columns.satellites.slice(0, columns.count).map(satellite => satellite.id),
  Array.from(columns.timesMicros.subarray(0, columns.count), numberText),
  Array.from(columns.values.subarray(0, columns.count * METRIC_COUNT), numberText)
])

/** Reads a body by both paths, and throws if they differ. Returns whether it was accepted, and by the fast path. */
function compare (form: typeof FORMS[number], body: Buffer, rules: DecodeRules): { isTaken: boolean, isFast: boolean } {
  const { fast, exact, both } = columnsOf
  fast.clear()
  exact.clear()
  const isFast = form.readFast(body, NOW_MICROS, rules, satellites, fast) === 'done'
  const fault: DecodeFault | null = form.readExactly(body, new PointReader(NOW_MICROS, rules, satellites, exact))
  if (isFast && fault !== null) throw new Error(`only the fast path accepts it: ${fault.message}`)
  if (isFast && dump(fast) !== dump(exact)) throw new Error(`values differ: ${dump(fast)} and ${dump(exact)}`)
  const answer = form.decode(body, NOW_MICROS, rules, satellites, both)
  if (JSON.stringify(answer) !== JSON.stringify(fault)) throw new Error('decode and the exact path answer differently')
  if (fault !== null) exact.clear()
  if (dump(both) !== dump(exact)) throw new Error('decode and the exact path yield different columns')
  return { isTaken: fault === null, isFast }
}

const space = fc.stringMatching(/^[ \t\r]{0,2}$/)
const id = fc.oneof(
  fc.constantFrom('SAT-0001', 'ISS (ZARYA)', 'Спутник', '🛰', 'NOAA 19'), fc.stringMatching(/^[A-Za-z0-9-]{1,64}$/))
const isoTime = fc.tuple(
  fc.integer({ min: NOW_MS - 29 * 86_400_000, max: NOW_MS + 200_000 }),
  fc.constantFrom('Z', 'z', '+00:00', '-00:00'),
  fc.stringMatching(/^\d{0,7}$/),
  fc.constantFrom('T', 't')
).map(([ms, zone, digits, letter]) => (
  `"${new Date(ms).toISOString().slice(0, -1).replace('T', letter)}${digits}${zone}"`
))
const time = fc.oneof(
  isoTime,
  fc.constant('"2026-11-23T12:00Z"'),
  fc.constant('"2026-11-23T14:00:01+02:00"'),
  fc.constant('null'),
  fc.integer({ min: (NOW_MS - 1e9) * 1000, max: (NOW_MS + 2e5) * 1000 }).map(micros => String(micros / 1000)),
  fc.integer({ min: NOW_MS - 1e9, max: NOW_MS + 2e5 }).map(String)
)

const mantissa = fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 })
/** Numbers whose mantissa and power of ten are exact as doubles. */
const plainNumber = fc.tuple(mantissa, fc.integer({ min: -22, max: 22 }), fc.boolean())
  .map(([mantissa, power, upper]) => power === 0 ? String(mantissa) : `${mantissa}${upper ? 'E' : 'e'}${power}`)
const whole = fc.integer({ min: 0, max: 99_999_999 })
const decimal = fc.tuple(fc.constantFrom('', '-'), whole, fc.stringMatching(/^\d{1,7}$/))
  .map(([sign, whole, fraction]) => `${sign}${whole}.${fraction}`)
const oddNumber = fc.constantFrom(
  '-0', '0', '-0.0', '0e99', '1e22', '1e23', '1E-22', '1e-23', '9007199254740991', '9007199254740992',
  '9007199254740993', '90071992547409915', '123456789012345678901234567890', '1.7976931348623157e308', '5e-324',
  '1e999', '-1e999', '1e-999', '0.30000000000000004', '8.5e+00000000001', '0.000000000000000000000001',
  '1.00000000000000000000000', '179769313486231580793728971405301e270'
)

/** Fields as text: names and values. */
type Fields = ReadonlyArray<readonly [string, string]>

/** The fields of a point in any order, as the fast path supports them. */
const fields: fc.Arbitrary<Fields> = fc.tuple(
  id, fc.option(fc.tuple(fc.constantFrom('time', 'timestamp'), time)),
  fc.tuple(...METRICS.map(() => fc.option(fc.oneof(decimal, plainNumber, fc.constant('null'))))), decimal
).chain(([satellite, timeField, metrics, one]) => {
  const list: Array<readonly [string, string]> = [['satellite_id', JSON.stringify(satellite)]]
  if (timeField !== null) list.push(timeField)
  METRICS.forEach((metric, index) => {
    const value = metrics[index] ?? null
    // The first metric is always there, so that each point has one.
    if (index === 0 || value !== null) list.push([metric.name, index === 0 ? one : value ?? 'null'])
  })
  return fc.shuffledSubarray(list, { minLength: list.length })
})

const render = (list: Fields, gap: string): string =>
  `{${gap}${list.map(([name, value]) => `"${name}"${gap}:${gap}${value}`).join(`${gap},${gap}`)}${gap}}`

const plainPoint = fc.tuple(fields, space).map(([list, gap]) => `${gap}${render(list, gap)}${gap}`)

const oddValue = fc.oneof(oddNumber, fc.double().map(String), fc.json({ maxDepth: 2 }))
const oddTime = fc.oneof(
  time, oddNumber, fc.double({ min: NOW_MS - 1e9, max: NOW_MS + 2e5 }).map(String), fc.json({ maxDepth: 1 }))
const oddId = fc.oneof(
  fc.constantFrom('"\\u0041"', '"\\ud800"', '"a\\u0000"', '" a"', '""', 'null', '5'),
  fc.string({ unit: 'binary' }).map(text => JSON.stringify(text))
)

/** Fields that are invalid, or that only the exact path supports. */
const oddField: fc.Arbitrary<readonly [string, string]> = fc.oneof(
  fc.tuple(fc.constantFrom(...METRICS.map(metric => metric.name)), oddValue),
  fc.tuple(fc.constantFrom('time', 'timestamp'), oddTime),
  fc.tuple(fc.constant('satellite_id'), oddId),
  fc.tuple(fc.constantFrom('__proto__', 'toString', 'Time', 'time\\u0020', '\\u0074ime', 'x'), fc.json({ maxDepth: 1 }))
)
const oddPoint = fc.tuple(fields, fc.array(oddField, { minLength: 1, maxLength: 2 }), fc.boolean())
  .map(([list, odd, first]) => render(first ? [...odd, ...list] : [...list, ...odd], ''))

interface Mutation {
  readonly at: number
  readonly kind: 'set' | 'insert' | 'remove' | 'cut'
  readonly byte: number
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.nat(2_000),
  kind: fc.constantFrom('set', 'insert', 'remove', 'cut'),
  byte: fc.oneof(
    fc.constantFrom(...Buffer.from(' \t\r\n"\\{}[]:,.-+eE0123456789nulTZ')), fc.integer({ min: 0, max: 255 }))
})

function mutate (body: Buffer, { at, kind, byte }: Mutation): Buffer {
  const position = at % (body.length + 1)
  const before = body.subarray(0, position)
  if (kind === 'cut') return Buffer.from(before)
  const after = body.subarray(kind === 'insert' ? position : position + 1)
  return Buffer.concat(kind === 'remove' ? [before, after] : [before, Buffer.from([byte]), after])
}

const form = fc.constantFrom(...FORMS)

t.test('property: the fast path accepts what senders write, with the values of the exact path', t => {
  fc.assert(fc.property(form, fc.array(plainPoint, { minLength: 1, maxLength: 5 }), (form, points) => {
    const { isTaken, isFast } = compare(form, Buffer.from(form.join(points)), RULES)
    return isTaken && isFast
  }), { numRuns: 3_000 })
  t.end()
})

t.test('property: both paths agree on every spelling and on every fault', t => {
  const rules = fc.constantFrom<DecodeRules>(
    RULES,
    { ...RULES, unknownFields: 'ignore' },
    { ...RULES, timeWindowPastMs: 1e15, timeWindowFutureMs: 1e15 }
  )
  const points = fc.array(fc.oneof(plainPoint, oddPoint), { minLength: 1, maxLength: 3 })
  fc.assert(fc.property(form, points, rules, (form, points, rules) => {
    compare(form, Buffer.from(form.join(points)), rules)
  }), { numRuns: 5_000 })
  t.end()
})

t.test('property: both paths agree on damaged bytes', t => {
  const mutations = fc.array(mutation, { minLength: 1, maxLength: 3 })
  const points = fc.array(fc.oneof(plainPoint, oddPoint), { maxLength: 3 })
  fc.assert(fc.property(form, points, mutations, (form, points, mutations) => {
    compare(form, mutations.reduce(mutate, Buffer.from(form.join(points))), RULES)
  }), { numRuns: 8_000 })
  t.end()
})

t.test('numbers have the values of JSON.parse', t => {
  const check = (text: string): void => {
    const body = Buffer.from(`{"satellite_id":"A","${METRICS[0].name}":${text}}`)
    columnsOf.both.clear()
    const isTaken = decodeJsonPoint(body, NOW_MICROS, RULES, satellites, columnsOf.both) === null
    const wanted = JSON.parse(text) as number
    if (isTaken !== Number.isFinite(wanted)) throw new Error(text)
    if (isTaken && !Object.is(columnsOf.both.values[0], wanted)) throw new Error(text)
    compare(FORMS[0], body, RULES)
  }
  const double = fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)
  fc.assert(fc.property(fc.oneof(decimal, plainNumber, oddNumber, double), check), { numRuns: 5_000 })
  t.end()
})

t.test('every body of one byte', t => {
  for (const form of FORMS) {
    for (let byte = 0; byte < 256; byte++) {
      const blank = [0x20, 0x09, 0x0d, 0x0a].includes(byte)
      t.equal(compare(form, Buffer.from([byte]), RULES).isTaken, blank && form.decode === decodeNdjson)
    }
  }
  t.end()
})
