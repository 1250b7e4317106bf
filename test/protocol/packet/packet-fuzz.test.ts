/**
 * Many random and mutated packets. msgpackr must read every accepted packet alike, and refuse those refused for more
 * than their length. PACKET_FUZZ_SEED repeats a run.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { NOW, RULES, decode, filled, invalid, points, valid } from './packet-fixture.js'
import { readPacket } from './packet-reference.js'

const PACKETS = 200_000
/** May claim a length beyond the end of the packet, for which msgpackr allocates memory first, which takes seconds. */
const NOT_FOR_MSGPACKR: ReadonlySet<string> = new Set(['not_msgpack', 'empty', 'bad_shape', 'unknown_version'])
const HEAP_GROWTH_MAX = 32 * 1024 * 1024

const seed = Number(process.env['PACKET_FUZZ_SEED'] ?? Math.trunc(Math.random() * 2 ** 32))

/** Mulberry32: fast and reproducible. */
function randomBelow (seed: number): (bound: number) => number {
  let state = seed >>> 0
  return bound => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * bound)
  }
}

const below = randomBelow(seed)

function corpus (): Buffer[] {
  const encoder = new PacketEncoder()
  const frames = [1, 3, 25].map(count => {
    encoder.begin('fuzz', NOW, count)
    for (let index = 0; index < count; index++) encoder.add(`SAT-000${index % 10}`, NOW - index, [73.21, index, -71.43])
    return Buffer.from(encoder.finish())
  })
  const golden = [valid, valid, valid, valid, invalid].flatMap(file => (
    file.vectors.map(vector => Buffer.from(vector.hex, 'hex'))
  ))
  return [...golden, ...frames, ...frames, ...frames]
}

const scratch = Buffer.alloc(8192)

/** Applies one to three changes to a packet, or sometimes returns random bytes. */
function mutate (packets: readonly Buffer[]): Buffer {
  let length = 0
  if (below(10) === 0) {
    length = below(64)
    for (let at = 0; at < length; at++) scratch[at] = below(256)
    return scratch.subarray(0, length)
  }
  length = packets[below(packets.length)]!.copy(scratch)
  for (let change = below(3); change >= 0; change--) {
    const at = below(length + 1)
    switch (below(5)) {
      case 0: scratch[at] = (scratch[at] ?? 0) ^ (1 << below(8)); break
      case 1: scratch[at] = below(256); break
      case 2: length = at; break
      case 3: {
        scratch.copyWithin(at + 1, at, length)
        scratch[at] = below(256)
        length++
        break
      }
      default: {
        const other = packets[below(packets.length)]!
        length = at + other.copy(scratch, at, below(other.length + 1), other.length)
      }
    }
  }
  return scratch.subarray(0, length)
}

/** Whether the decoder and msgpackr agree on a packet. */
function agree (bytes: Buffer): boolean {
  const result = decode(bytes)
  if (definesRecord(bytes)) return true
  if (result.kind === 'malformed') {
    if (filled().count !== 0) return false
    return NOT_FOR_MSGPACKR.has(result.reason) || isKnownDifference(bytes) || readPacket(bytes, NOW, RULES) === null
  }
  const wanted = readPacket(bytes, NOW, RULES)?.points
  const taken = points()
  return wanted?.length === taken.length && taken.every((point, index) => {
    const other = wanted[index]!
    return point.id === other.id && point.timeMicros === other.timeMicros &&
      point.values.every((value, metric) => Object.is(value, other.values[metric]))
  })
}

/** msgpackr treats the extension type 0x72 as the keys of later maps, which cannot be disabled. */
function definesRecord (bytes: Buffer): boolean {
  return bytes.includes(Buffer.from([0xd4, 0x72])) || bytes.includes(Buffer.from([0xd5, 0x72]))
}

/** msgpackr does not distinguish a float version (float 32 or 64) from an int. */
function isKnownDifference (bytes: Buffer): boolean {
  return bytes.includes(0xca) || bytes.includes(Buffer.from([0x95, 0xcb]))
}

t.test(`${PACKETS} random and mutated packets, PACKET_FUZZ_SEED=${seed}`, t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const packets = corpus()
  const counts = new Map<string, number>()
  let heapAtStart = 0
  for (let index = 0; index < PACKETS; index++) {
    if (index === PACKETS / 10) {
      collect()
      heapAtStart = process.memoryUsage().heapUsed
    }
    const bytes = mutate(packets)
    if (!agree(bytes)) {
      t.fail(`packet ${index} of seed ${seed}: ${bytes.toString('hex')} is ${JSON.stringify(decode(bytes))}`)
      break
    }
    const result = decode(bytes)
    const outcome = result.kind === 'malformed' ? result.reason : result.kind
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
  }
  collect()
  const growth = process.memoryUsage().heapUsed - heapAtStart
  t.comment(Object.fromEntries(counts))
  t.ok(growth < HEAP_GROWTH_MAX, `the heap grew by ${growth} bytes`)
  t.ok((counts.get('frame') ?? 0) > PACKETS / 100, 'some are still valid frames')
  t.end()
})
