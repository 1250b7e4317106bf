/** Authenticated frames: vectors, codes made by two implementations, and every way to damage a packet. */
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import t from 'tap'
import { PACKET_BYTES_RECOMMENDED, type PacketResult } from '../../../protocol/packet/packet.js'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import {
  CODE_ELEMENT_BYTES, KEYED_FRAME_VERSION, PacketSigner, keyIdOf, parsePacketKey
} from '../../../protocol/packet/packet-key.js'
import { NOW, RULES, columns, decode, points, pointsOf, type ValidVector } from './packet-fixture.js'

interface KeyedVector extends ValidVector { readonly key: string }
interface KeyedVectors {
  readonly keys: ReadonlyArray<{ readonly id: string, readonly secret: string }>
  readonly valid: readonly KeyedVector[]
  readonly denied: ReadonlyArray<{ readonly name: string, readonly hex: string, readonly reason: string }>
}

const file = new URL('../../../../protocol/vectors/keyed.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as KeyedVectors
const SECRET = 'x'.repeat(32)
const KEY = `bench.1:${SECRET}`
const signer = new PacketSigner(SECRET)
const packr = new Packr({ useRecords: false })

function decodeKeyed (bytes: Buffer): PacketResult {
  return decode(bytes.subarray(0, -CODE_ELEMENT_BYTES), RULES, true)
}

/** As SPEC.md describes it. */
function sealed (secret: string, ...elements: readonly unknown[]): Buffer {
  const packet = packr.pack([...elements, Buffer.alloc(32)])
  createHmac('sha256', secret).update(packet.subarray(0, -32)).digest().copy(packet, packet.length - 32)
  return packet
}

t.test('golden packets', (t) => {
  const signers = new Map(vectors.keys.map(({ id, secret }) => [id, new PacketSigner(secret)]))
  for (const vector of vectors.valid) {
    const bytes = Buffer.from(vector.hex, 'hex')
    t.equal(keyIdOf(bytes), vector.key, vector.name)
    t.ok(signers.get(vector.key)?.accepts(bytes), vector.name)
    const { sender, epoch, seq } = vector
    t.match(decodeKeyed(bytes), { kind: 'frame', sender, epoch, seq }, vector.name)
    t.strictSame(points(), pointsOf(vector), vector.name)
    t.match(decode(bytes), { kind: 'malformed', reason: 'unknown_version' }, 'over HTTP, or without keys')
  }
  for (const { name, hex, reason } of vectors.denied) {
    const bytes = Buffer.from(hex, 'hex')
    const id = keyIdOf(bytes)
    const found = id === null ? 'unauthenticated' : signers.has(id) ? 'wrong_code' : 'unknown_key'
    t.equal(found, reason, name)
    t.not(signers.get(String(id))?.accepts(bytes), true, name)
  }
  t.end()
})

t.test('the encoder makes what msgpackr and an HMAC make', (t) => {
  const encoder = new PacketEncoder(PACKET_BYTES_RECOMMENDED, KEY)
  for (const rows of [0, 1, 3]) {
    encoder.begin('s', 5, 6)
    for (let row = 0; row < rows; row++) encoder.add('A', NOW, [1.5])
    const packet = encoder.finish()
    t.ok(signer.accepts(packet))
    t.strictSame(encoder.finish(), packet, 'finishing twice')
    t.match(decodeKeyed(packet), { kind: 'frame', sender: 's', epoch: 5, seq: 6 })
    t.equal(columns.count, rows)
  }
  const other = sealed(SECRET, KEYED_FRAME_VERSION, 'bench.1', 's', 5, 6, [['A', NOW, 1.5]])
  t.equal(keyIdOf(other), 'bench.1')
  t.ok(signer.accepts(other))
  t.match(decodeKeyed(other), { kind: 'frame', seq: 6 })
  const named = sealed(SECRET, KEYED_FRAME_VERSION, 'bench.1', 's', 5, 6, 'power', [['A', NOW, 1.5]])
  encoder.begin('s', 5, 6, 'power')
  encoder.add('A', NOW, [1.5])
  for (const packet of [named, encoder.finish()]) {
    t.ok(signer.accepts(packet))
    t.match(decodeKeyed(packet), { kind: 'frame', seq: 6 })
    t.match(points(), [{ id: 'A', values: [1.5, NaN] }])
  }
  t.end()
})

t.test('a full packet keeps to its size', (t) => {
  const encoder = new PacketEncoder(PACKET_BYTES_RECOMMENDED, `${'i'.repeat(32)}:${SECRET}`)
  encoder.begin('bench', NOW, 0)
  while (encoder.add('SAT-0001', NOW, [73.21, 12345.67, -71.43]));
  const { length } = encoder.finish()
  t.ok(length <= PACKET_BYTES_RECOMMENDED && length > PACKET_BYTES_RECOMMENDED - 50, `${length} bytes`)
  t.equal(encoder.points, 28)
  t.throws(() => new PacketEncoder(290, KEY), RangeError)
  t.end()
})

t.test('whatever is changed, cut off or added, the code is wrong', (t) => {
  const packet = sealed(SECRET, 2, 'bench.1', 's', 5, 6, [['A', NOW, 1.5], ['B', null, 2]])
  for (let bit = 0; bit < packet.length * 8; bit++) {
    const forged = Buffer.from(packet)
    forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    if (signer.accepts(forged)) t.fail(`bit ${bit}`)
  }
  for (let length = 0; length < packet.length; length++) {
    if (signer.accepts(packet.subarray(0, length))) t.fail(`${length} bytes`)
  }
  fc.assert(fc.property(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.boolean(), (bytes, isFirst) => (
    !signer.accepts(isFirst ? Buffer.concat([bytes, packet]) : Buffer.concat([packet, bytes])))))
  t.notOk(new PacketSigner(`${SECRET}y`).accepts(packet), 'another secret')
  t.end()
})

t.test('an authentic packet may still be malformed', (t) => {
  const cases: Array<[unknown[], string]> = [
    [[2, 'bench.1', 's', 5, 6], 'bad_header'],
    [[2, 'bench.1', 's', 5, 6, [], 7], 'bad_header'],
    [[2, 'bench.1', '', 5, 6, []], 'bad_header'],
    [[2, 'bench.1', 's', 5, 6, [['A', 'x', 1]]], 'invalid_point'],
    [[2, 'bench.1', 's', 5, 6, [[1]]], 'invalid_point']
  ]
  for (const [elements, reason] of cases) {
    const packet = sealed(SECRET, ...elements)
    t.ok(signer.accepts(packet))
    t.match(decodeKeyed(packet), { kind: 'malformed', reason }, JSON.stringify(elements))
    t.equal(columns.count, 0)
  }
  t.end()
})

t.test('the id of a key is read of any bytes without a fault', (t) => {
  const ids: Array<[unknown, string | null]> = [
    [[2, 'k'], 'k'], [[2], ''], [[2, 7], ''], [[2, ''], ''], [[2, 'x'.repeat(33)], ''], [[1, 'k'], null], [[], null],
    [{ a: 1 }, null], [2, null]
  ]
  for (const [value, id] of ids) t.equal(keyIdOf(packr.pack(value)), id, JSON.stringify(value))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    const id = keyIdOf(Buffer.from(bytes))
    return id === null || id.length <= 32
  }))
  t.end()
})

t.test('keys as people write them', (t) => {
  t.strictSame(parsePacketKey(`a-1:${SECRET}`), { id: 'a-1', secret: SECRET })
  t.strictSame(parsePacketKey(`a:b:${SECRET}`), { id: 'a', secret: `b:${SECRET}` }, 'a secret may have colons')
  for (const text of ['', 'a', ':', `:${SECRET}`, `a:${'x'.repeat(31)}`, `a:${'x'.repeat(129)}`, `ä:${SECRET}`,
    `a:${SECRET} `, `a b:${SECRET}`, `a:${SECRET}ü`, `${'i'.repeat(33)}:${SECRET}`]) {
    t.equal(parsePacketKey(text), null, text)
    if (text !== '') t.throws(() => new PacketEncoder(2_000, text), { name: 'TypeError', message: /ID:SECRET/ })
  }
  t.end()
})
