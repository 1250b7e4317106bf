import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import t from 'tap'
import { POINTS_MAX } from '../../../protocol/columns.js'
import { SKIPPED_MAX } from '../../../protocol/packet/msgpack-reader.js'
import { METRICS, METRIC_COUNT } from '../../support/points/built-in.js'
import { MALFORMED_REASONS, PACKET_BYTES_RECOMMENDED } from '../../../protocol/packet/packet.js'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { NOW, RULES, columns, decode, filled, invalid, points, pointsOf, streams, valid } from './packet-fixture.js'
import { readPacket } from './packet-reference.js'
import { METRICS_MAX } from '../../../protocol/schema.js'

const packr = new Packr({ useRecords: false })
const encoder = new PacketEncoder()

const text = (charactersMax: number): fc.Arbitrary<string> =>
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: charactersMax }).filter(id =>
    id.trim() === id && !/\p{Cc}/u.test(id) && Array.from(id).length <= charactersMax)

const timeMicros = fc.option(fc.integer({
  min: NOW - RULES.timeWindowPastMs * 1000,
  max: NOW + RULES.timeWindowFutureMs * 1000
}))

const metric = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.maxSafeInteger(),
  fc.integer({ min: -70_000, max: 70_000 }),
  fc.constantFrom(
    0, -0, NaN, 127, 128, -32, -33, 255, 256, -128, -129, 2 ** 32, 2 ** 32 - 1, -(2 ** 31), -(2 ** 31) - 1)
)

const point = fc.tuple(text(64), timeMicros, fc.array(metric, { minLength: 1, maxLength: METRIC_COUNT }))
  .filter(([, , metrics]) => metrics.some(value => !Number.isNaN(value)))

const count = fc.maxSafeNat()

t.test('the decoder and msgpackr read golden packets as the vectors specify', t => {
  for (const vector of valid.vectors) {
    const bytes = Buffer.from(vector.hex, 'hex')
    const result = decode(bytes)
    t.equal(result.kind, vector.kind, vector.name)
    t.strictSame(points(), pointsOf(vector), vector.name)
    if (result.kind === 'plain') t.equal(result.single, vector.single, vector.name)
    if (result.kind === 'frame') {
      t.match(result, { sender: vector.sender, epoch: vector.epoch, seq: vector.seq }, vector.name)
    }
    t.strictSame(readPacket(bytes, NOW, RULES)?.points, pointsOf(vector), `${vector.name}, by msgpackr`)
  }
  t.end()
})

t.test('golden refusals have the reason that the vectors specify', t => {
  for (const vector of invalid.vectors) {
    const bytes = Buffer.from(vector.hex, 'hex')
    const result = decode(bytes)
    t.equal(filled().count, 0, `${vector.name}: nothing is accepted`)
    if (result.kind !== 'malformed') {
      t.fail(`${vector.name} was accepted`)
      continue
    }
    t.equal(result.reason, vector.reason, vector.name)
    t.equal(result.fault.code, vector.reason === 'invalid_point' ? 'invalid_point' : 'invalid_msgpack', vector.name)
    t.equal(result.fault.details?.[0]?.index, vector.index, vector.name)
    t.equal(result.fault.details?.[0]?.field, vector.field, vector.name)
  }
  const named = new Set(invalid.vectors.map(vector => vector.reason))
  t.strictSame(MALFORMED_REASONS.filter(reason => !named.has(reason)), [], 'every reason has a vector')
  t.end()
})

t.test('msgpackr refuses what the decoder refuses', t => {
  // msgpackr cannot distinguish a float 32 from a float 64, or a float from an int.
  const undecided = ['time is a float 32', 'a version that is a float']
  for (const vector of invalid.vectors.filter(vector => !undecided.includes(vector.name))) {
    // It allocates memory for a claimed length before it reads on.
    if (vector.reason === 'not_msgpack') continue
    t.equal(readPacket(Buffer.from(vector.hex, 'hex'), NOW, RULES), null, vector.name)
  }
  const keys = ['82ac736174656c6c6974655f6964a141', 'b6626174746572795f6368617267655f70657263656e74']
  const reference = Buffer.from(`${keys.join('')}d4697240`, 'hex')
  t.equal(decode(reference).kind, 'malformed')
  t.equal(readPacket(reference, NOW, RULES), null, 'the extension 0x69, to msgpackr a reference to what follows it')
  t.end()
})

t.test('encode, then decode: the same frame', t => {
  const stream = fc.constantFrom(...Object.keys(streams))
  const frame = fc.tuple(text(32), count, count, stream, fc.array(point, { maxLength: 20 }), fc.boolean())
  fc.assert(fc.property(frame, ([sender, epoch, seq, stream, all, isNumberedLate]) => {
    const names = streams[stream] ?? []
    const given = all
      .map(([id, time, metrics]) => [id, time, metrics.slice(0, names.length)] as const)
      .filter(([, , metrics]) => metrics.some((value) => !Number.isNaN(value)))
    encoder.begin(sender, epoch, isNumberedLate ? null : seq, stream)
    for (const [id, time, metrics] of given) if (!encoder.add(id, time, metrics)) throw new Error('the packet is full')
    const bytes = isNumberedLate ? encoder.finish(seq) : encoder.finish()
    const result = decode(bytes)
    if (result.kind !== 'frame') throw new Error(JSON.stringify(result))
    const isSameHeader = result.sender === sender && result.epoch === epoch && result.seq === seq
    const wanted = given.map(([id, time, metrics]) => ({
      id, timeMicros: time ?? NOW, values: names.map((_, index) => metrics[index] ?? NaN)
    }))
    return isSameHeader && encoder.points === given.length && isEqual(points(), wanted) &&
      isEqual(readPacket(bytes, NOW, RULES)?.points, wanted)
  }), { numRuns: 2000 })
  t.end()
})

/** Deep equality by Object.is: -0 differs from 0, NaN equals NaN. */
function isEqual (a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length &&
    keys.every(key => isEqual((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
}

t.test('the decoder and msgpackr read plain maps alike', t => {
  const value = fc.oneof(fc.constantFrom(null, true, 'x', 1, -1.5, 1e300), fc.double(), fc.maxSafeInteger())
  const fields = fc.record({
    satellite_id: fc.oneof({ weight: 9, arbitrary: text(64) }, { weight: 1, arbitrary: value }),
    time: fc.oneof(
      timeMicros.map(time => time === null ? null : time / 1000),
      timeMicros.map(time => time === null ? null : new Date(time / 1000).toISOString())
    ),
    timestamp: fc.constantFrom(null, null, null, 1),
    [METRICS[0].name]: fc.oneof({ weight: 9, arbitrary: fc.double({ noNaN: true }) }, { weight: 1, arbitrary: value }),
    [METRICS[1].name]: fc.oneof({ weight: 9, arbitrary: fc.maxSafeInteger() }, { weight: 1, arbitrary: value }),
    nickname: value
  }, { requiredKeys: ['satellite_id'] })
  let taken = 0
  for (const unknownFields of ['reject', 'ignore'] as const) {
    const rules = { ...RULES, unknownFields }
    fc.assert(fc.property(fc.oneof(fields, fc.array(fields, { maxLength: 3 })), body => {
      const bytes = packr.pack(body)
      const result = decode(bytes, rules)
      const reference = readPacket(bytes, NOW, rules)
      if (result.kind === 'malformed') return reference === null
      taken++
      return isEqual(points(), reference?.points)
    }), { numRuns: 2000 })
  }
  t.ok(taken > 400, `${taken} of 4000 were accepted`)
  t.end()
})

t.test('decoding any bytes returns, and accepts nothing that msgpackr refuses', t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
    const result = decode(Buffer.from(bytes))
    return result.kind === 'malformed' ? columns.count === 0 : readPacket(Buffer.from(bytes), NOW, RULES) !== null
  }), { numRuns: 5000 })
  t.pass()
  t.end()
})

t.test('a packet within a larger buffer', t => {
  const vector = valid.vectors.find(vector => vector.kind === 'frame')!
  const inner = Buffer.from(vector.hex, 'hex')
  const outer = Buffer.concat([Buffer.alloc(7, 0xff), inner, Buffer.alloc(9, 0xff)])
  t.equal(decode(outer.subarray(7, 7 + inner.length)).kind, 'frame')
  t.strictSame(points(), pointsOf(vector))
  t.end()
})

t.test('faults of a frame list up to ten points, count all, and include the header', t => {
  const rows = Array.from({ length: 30 }, (_, index) => ['A', NOW, index % 2 === 0 ? 'x' : 1])
  const result = decode(packr.pack([1, 'bench', 5, 6, rows]))
  if (result.kind !== 'malformed') throw new Error(result.kind)
  t.strictSame(result.header, { sender: 'bench', epoch: 5, seq: 6 })
  t.equal(result.fault.points, 30)
  t.strictSame(result.fault.details?.map(detail => detail.index), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
  t.match(result.fault.message, 'Point 0: battery_charge_percent must be a finite number or nil')
  t.end()
})

t.test('faults of an array of maps list up to ten points, and count all', t => {
  const result = decode(packr.pack(Array.from({ length: 30 }, () => ({ satellite_id: 'A' }))))
  if (result.kind !== 'malformed') throw new Error(result.kind)
  t.equal(result.header, null)
  t.equal(result.fault.points, 30)
  t.equal(result.fault.details?.length, 10)
  t.end()
})

t.test('a time in another unit is recognized', t => {
  const said = (time: number): string => {
    const result = decode(packr.pack([1, 'bench', 5, 6, [['A', time, 1]]]))
    return result.kind === 'malformed' ? result.fault.message : ''
  }
  t.match(said(NOW / 1000), 'looks like milliseconds')
  t.match(said(NOW / 1e6), 'looks like seconds')
  t.notMatch(said(1), 'looks like')
  t.end()
})

t.test('a time beyond 2^53 is refused even if the window is unlimited', t => {
  const rules = { ...RULES, timeWindowPastMs: 1e16, timeWindowFutureMs: 1e16 }
  for (const time of [2n ** 63n, -(2n ** 62n)]) {
    const result = decode(packr.pack([1, 'bench', 5, 6, [['A', time, 1]]]), rules)
    t.equal(result.kind === 'malformed' && result.reason, 'invalid_point')
  }
  t.equal(decode(packr.pack([1, 'bench', 5, 6, [['A', 2 ** 52, 1], ['A', -1, 1]]]), rules).kind, 'frame')
  t.end()
})

t.test('a megabyte of brackets neither blocks nor overflows', t => {
  const start = performance.now()
  for (const first of [0x91, 0x81, 0xdd]) {
    const few = decode(Buffer.alloc(SKIPPED_MAX / 2, first))
    t.equal(few.kind === 'malformed' && few.reason, 'not_msgpack')
    const many = decode(Buffer.alloc(1_000_000, first))
    t.equal(many.kind === 'malformed' && many.fault.code, first === 0xdd ? 'invalid_msgpack' : 'body_too_large')
  }
  const rows = decode(packr.pack(new Array(200_000).fill(null)))
  t.equal(rows.kind === 'malformed' && rows.fault.points, POINTS_MAX, 'points beyond the limit are not counted')
  t.ok(performance.now() - start < 2000)
  t.end()
})

t.test('a frame of 25 points takes at most 35% of the bytes of JSON', t => {
  const sent = Array.from({ length: 25 }, (_, index) => ({
    satellite_id: `SAT-${String(index + 1).padStart(4, '0')}`,
    time: new Date(NOW / 1000 + index).toISOString(),
    battery_charge_percent: Number((73.21 + index / 100).toFixed(2)),
    storage_usage_mb: Number((12345.67 + index).toFixed(2)),
    signal_strength_dbm: Number((-71.43 - index / 100).toFixed(2))
  }))
  encoder.begin('simulator', NOW, 123_456)
  for (const { satellite_id: id, time, battery_charge_percent: charge, ...others } of sent) {
    encoder.add(id, Date.parse(time) * 1000, [charge, others.storage_usage_mb, others.signal_strength_dbm])
  }
  const share = encoder.finish().length / Buffer.byteLength(JSON.stringify(sent))
  t.comment(`a frame takes ${(share * 100).toFixed(1)}% of the bytes of JSON`)
  t.ok(share <= 0.35)
  t.end()
})

t.test('the encoder stops before the packet is too large', t => {
  const small = new PacketEncoder(PACKET_BYTES_RECOMMENDED)
  small.begin('bench', NOW, 0)
  let added = 0
  while (small.add('SAT-0001', NOW, [73.21, 12345.67, -71.43])) added++
  const bytes = small.finish()
  const { length } = bytes
  t.ok(length <= PACKET_BYTES_RECOMMENDED && length > PACKET_BYTES_RECOMMENDED - 50, `${length} bytes`)
  t.equal(small.points, added)
  t.equal(decode(bytes).kind, 'frame')
  t.equal(columns.count, added)
  t.end()
})

t.test('the longest names are preserved', t => {
  for (const name of ['🛰', 'é', 'x']) {
    encoder.begin(name.repeat(32), 0, 0)
    for (const length of [1, 31, 32, 64]) encoder.add(name.repeat(length), null, [1])
    t.match(decode(encoder.finish()), { kind: 'frame', sender: name.repeat(32) })
    t.strictSame(points().map(point => point.id), [1, 31, 32, 64].map(length => name.repeat(length)))
  }
  const result = decode(packr.pack([1, '🛰'.repeat(33), 0, 0, []]))
  t.equal(result.kind === 'malformed' && result.reason, 'bad_header')
  t.end()
})

t.test('the encoder accepts as many points as a body may have, and refuses invalid frames', t => {
  const large = new PacketEncoder(1_000_000)
  large.begin('bench', NOW, 0)
  for (let index = 0; index < POINTS_MAX; index++) large.add('A', null, [1])
  t.equal(large.add('A', null, [1]), false)
  t.equal(decode(large.finish()).kind, 'frame')
  t.equal(columns.count, POINTS_MAX)
  t.throws(() => new PacketEncoder(100), RangeError)
  t.throws(() => { encoder.begin('x'.repeat(65), 0, 0) }, RangeError)
  t.throws(() => { encoder.begin('x', 0, 0, 'x'.repeat(25)) }, RangeError)
  encoder.begin('x', 0, null)
  t.throws(() => encoder.finish(), TypeError)
  encoder.begin('x', 0, 0)
  t.throws(() => encoder.finish(0), TypeError)
  t.throws(() => encoder.add('x'.repeat(129), null, [1]), RangeError)
  t.throws(() => encoder.add('A', null, new Array<number>(METRICS_MAX + 1).fill(1)), RangeError)
  t.end()
})

t.test('unknown fields of any type are skipped if they are ignored', t => {
  const rules = { ...RULES, unknownFields: 'ignore' } as const
  const unknown = { photo: Buffer.from([1, 2]), taken: new Date(0), nested: { a: [[1]] } }
  const body = packr.pack({ satellite_id: 'A', battery_charge_percent: 1, ...unknown })
  t.equal(decode(body, rules).kind, 'plain')
  t.equal(columns.count, 1)
  t.equal(decode(body).kind, 'malformed')
  t.end()
})

t.test('the example packet in SPEC.md is valid', t => {
  const spec = readFileSync(new URL('../../../../protocol/SPEC.md', import.meta.url), 'utf8')
  const [, lines = ''] = /by hand:\n\n```\n(.*?)```/s.exec(spec) ?? []
  const hex = lines.split('\n').map(line => /^ *((?:[0-9a-f]{2} )+) {2,}/.exec(line)?.[1] ?? '').join('')
  t.match(decode(Buffer.from(hex.replaceAll(' ', ''), 'hex')), { kind: 'frame', sender: 'bench-7', epoch: 5, seq: 0 })
  t.strictSame(points(), [{ id: 'SAT-0001', timeMicros: NOW, values: [73.21, NaN, NaN] }])
  for (const reason of MALFORMED_REASONS) t.match(spec, `\`${reason}\``)
  t.end()
})
