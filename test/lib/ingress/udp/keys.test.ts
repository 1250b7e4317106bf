/** A listener with keys, as an attacker sees it: nothing gets in, and nothing of an authenticated sender changes. */
import { createSocket } from 'node:dgram'
import { Packr } from 'msgpackr'
import t, { type Test } from 'tap'
import type { UdpKey } from '../../../../lib/access/udp-key.js'
import { DENIED_REASONS, KeyRing, TABLES_MAX } from '../../../../lib/ingress/udp/key-ring.js'
import type { UdpCounters } from '../../../../lib/ingress/udp/dgram-listener.js'
import { SenderTable, type SenderSummary } from '../../../../lib/ingress/udp/senders.js'
import { PacketEncoder } from '../../../../protocol/packet/packet-encoder.js'
import { arrived, openBench, type Bench } from './fake-intake.js'

const SECRET = 'of-the-first-key-'.repeat(2)
const OTHER_SECRET = 'of-the-second-key-'.repeat(2)
const KEYS: readonly UdpKey[] = [
  { id: 'one', secret: SECRET, senders: null, satellites: null, port: null },
  { id: 'two', secret: OTHER_SECRET, senders: ['two-*'], satellites: ['SAT-*'], port: null }
]
const packr = new Packr({ useRecords: false })
const timeMicros = Date.now() * 1000
const encoders = new Map<string, PacketEncoder>()

interface Frame {
  readonly key?: string | null
  readonly sender?: string
  readonly epoch?: number
  readonly seq?: number
  readonly satellites?: readonly string[]
  readonly stream?: string
}

function frame ({
  key = `one:${SECRET}`, sender = 's', epoch = 7, seq = 0, satellites = ['SAT-0', 'SAT-1'], stream
}: Frame = {}): Buffer {
  const encoder = encoders.get(String(key)) ?? new PacketEncoder(undefined, key)
  encoders.set(String(key), encoder)
  encoder.begin(sender, epoch, seq, stream)
  for (const satellite of satellites) encoder.add(satellite, timeMicros, [seq])
  return Buffer.from(encoder.finish())
}

const two = (changes: Frame): Buffer => frame({ key: `two:${OTHER_SECRET}`, sender: 'two-a', ...changes })
const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

function isConserved ({ packets, taken, denied, malformed, duplicates, stale, shed }: UdpCounters): boolean {
  return packets === taken + sum(denied) + sum(malformed) + duplicates + stale + shed
}

async function open (t: Test, isOpen = false, keys = KEYS): Promise<Bench> {
  return await openBench(t, 1_000_000, 100, false, { keys, isOpen })
}

function sendersOf ({ listener }: Bench): readonly SenderSummary[] {
  return listener.listSenders(0, 100).senders
}

t.test('authentic packets are accepted, whatever their address; others are denied and counted', async (t) => {
  const bench = await open(t)
  const { intake, listener, send } = bench
  const elsewhere = createSocket('udp4')
  t.teardown(() => { elsewhere.close() })
  await send(frame(), frame({ seq: 1, satellites: [] }))
  elsewhere.send(frame({ seq: 2 }), listener.port, '127.0.0.1')
  await arrived(listener, 3)
  await send(
    frame({ key: null }), packr.pack({ satellite_id: 'A', battery_charge_percent: 1 }),
    Buffer.alloc(0), Buffer.alloc(1),
    frame({ key: `three:${SECRET}`, seq: 3 }), packr.pack([2, 7]), frame({ key: `one:${OTHER_SECRET}`, seq: 3 }),
    frame({ key: `two:${SECRET}`, sender: 'two-a' }), frame({ seq: 3 }).subarray(0, -1),
    two({ sender: 's', epoch: 9 }), two({ satellites: ['SAT-0', 'OTHER'] }), two({ seq: 1 })
  )
  const counters = listener.counters()
  t.strictSame(counters.denied, {
    unauthenticated: 4, unknown_key: 2, wrong_code: 3, sender_forbidden: 1, satellite_forbidden: 1
  })
  t.match(counters, { packets: 15, taken: 4, authenticated: 6, points: 6, heartbeats: 1, rejectedPoints: 4 })
  t.ok(isConserved(counters))
  t.equal(intake.rejected, 4, 'the points of packets that were decoded')
  t.equal(intake.stored.length, 6)
  t.match(sendersOf(bench), [
    { sender: 's', key: 'one', epoch: 7, highest: 2, received: 3, missing: 0, restarts: 0 },
    { sender: 'two-a', key: 'two', epoch: 7, highest: 1, received: 2, missing: 0 }
  ])
})

t.test('what a key allows holds for all streams', async (t) => {
  const bench = await open(t)
  await bench.send(
    two({ stream: 'power' }), two({ seq: 1, stream: 'power', satellites: ['SAT-0', 'OTHER'] }),
    two({ seq: 2, stream: 'thermal' }), two({ seq: 2, stream: 'power' }),
    frame({ key: null, stream: 'power' }), two({ seq: 3, stream: 'power' }).subarray(0, -1)
  )
  t.strictSame(bench.power.stored.map(({ id }) => id), ['SAT-0', 'SAT-1'])
  t.equal(bench.power.rejected, 2, 'those of the satellite that the key does not allow')
  const counters = bench.listener.counters()
  t.match(counters, { taken: 1, duplicates: 1, duplicatePoints: 2, malformed: { unknown_stream: 1 } })
  t.match(counters.denied, { satellite_forbidden: 1, unauthenticated: 1, wrong_code: 1 })
  t.ok(isConserved(counters))
  t.match(sendersOf(bench), [{ sender: 'two-a', received: 3, missing: 0 }])
})

t.test('forged, truncated, replayed and reordered packets change no number of a sender', async (t) => {
  const bench = await open(t, true)
  const { intake, listener, send } = bench
  const sent = Array.from({ length: 20 }, (_, seq) => frame({ seq, epoch: seq < 5 ? 6 : 7 }))
  await send(...sent)
  const [before] = sendersOf(bench)
  const stored = intake.stored.length
  const most = Number.MAX_SAFE_INTEGER
  const forgeries = [
    ...sent,
    ...sent.toReversed(),
    ...sent.flatMap((packet) => Array.from({ length: 40 }, (_, cut) => packet.subarray(0, packet.length - 1 - cut))),
    ...sent.flatMap((packet) => Array.from({ length: 40 }, (_, at) => {
      const forged = Buffer.from(packet)
      forged[1 + (at * 7) % (packet.length - 1)]! ^= 0x40
      return forged
    })),
    // The encoder of another secret, and of none.
    ...[0, 8, 20, most].flatMap((epoch) => [0, 20, most].flatMap((seq) => [
      frame({ key: `one:${OTHER_SECRET}`, epoch, seq }), frame({ key: null, epoch, seq })]))
  ]
  for (let at = 0; at < forgeries.length; at += 100) await send(...forgeries.slice(at, at + 100))
  const after = sendersOf(bench).find(({ key }) => key === 'one')
  const { stale: _1, duplicates: _2, ...numbers } = before!
  t.match(after, numbers)
  t.equal(after?.last_seen, before?.last_seen)
  t.equal(intake.stored.length - stored, 2 * 12, 'of packets without a key: they are open here')
  t.match(sendersOf(bench), [{ sender: 's', key: null }, { sender: 's', key: 'one' }], 'the two are separate')
  t.ok(isConserved(listener.counters()))
  await send(frame({ seq: 20 }))
  t.match(sendersOf(bench)[1], { highest: 20, missing: 5, received: 16 })
})

t.test('a packet of one key cannot pass for one of another, even with the same sender', async (t) => {
  const keys = KEYS.map((key) => ({ ...key, senders: null, satellites: null }))
  const bench = await open(t, false, keys)
  const renamed = frame({ seq: 5 })
  renamed.write('two', renamed.indexOf('one'))
  await bench.send(frame(), renamed, two({ sender: 's', epoch: 100 }), frame({ seq: 1 }))
  t.match(bench.listener.counters(), { taken: 3, denied: { wrong_code: 1 } })
  t.match(bench.listener.listSenders(0, 10, 's'), {
    total: 2, senders: [{ key: 'one', epoch: 7, received: 2 }, { key: 'two', epoch: 100, received: 1 }]
  })
  t.match(bench.listener.listSenders(1, 1), { total: 2, offset: 1, senders: [{ key: 'two' }] })
})

t.test('while the port is open, packets without a key are handled as ever, those with a wrong one not', async (t) => {
  const { intake, listener, send } = await open(t, true)
  await send(
    frame({ key: null }), packr.pack({ satellite_id: 'A', battery_charge_percent: 1 }), Buffer.from([0x95]), frame(),
    frame({ key: `one:${OTHER_SECRET}`, seq: 1 }), frame({ key: `three:${SECRET}`, seq: 1 })
  )
  t.match(listener.counters(), {
    taken: 3,
    authenticated: 1,
    malformed: { not_msgpack: 1 },
    denied: { unauthenticated: 0, wrong_code: 1, unknown_key: 1 }
  })
  t.equal(intake.stored.length, 5)
})

t.test('without keys, frames of version 2 are unknown', async (t) => {
  const { listener, send } = await openBench(t)
  await send(frame(), frame({ key: null }))
  t.match(listener.counters(), { taken: 1, authenticated: 0, malformed: { unknown_version: 1 } })
  t.equal(sum(listener.counters().denied), 0)
})

t.test('malformed packets of a key keep their place, and are bound to its senders', async (t) => {
  const bench = await open(t)
  await bench.send(two({}), two({ seq: 1, satellites: [''] }), two({ seq: 1 }), two({ sender: 'x', satellites: [''] }))
  const counters = bench.listener.counters()
  t.match(counters, { taken: 1, malformed: { invalid_point: 1 }, duplicates: 1, denied: { sender_forbidden: 1 } })
  t.match(sendersOf(bench), [{ sender: 'two-a', received: 2, missing: 0 }])
  t.ok(isConserved(counters))
})

t.test('new keys apply from the next packet on; one that is put back lets no replay in', async (t) => {
  const { listener, send } = await open(t)
  const first = frame()
  await send(first, frame({ seq: 1 }))
  listener.useKeys(KEYS.slice(1))
  await send(first)
  listener.useKeys(KEYS)
  await send(first, frame({ seq: 2 }))
  t.match(listener.counters(), { taken: 3, denied: { unknown_key: 1 }, duplicates: 1 })
  listener.useKeys([{ ...KEYS[0]!, secret: OTHER_SECRET }])
  await send(frame({ seq: 3 }), frame({ key: `one:${OTHER_SECRET}`, seq: 3 }))
  t.match(listener.counters(), { taken: 4, denied: { wrong_code: 1 } })
  listener.useKeys([])
  await send(frame({ seq: 4 }))
  t.match(listener.counters(), { taken: 4, denied: { unknown_key: 2 } })
})

t.test('a key of another port is unknown here', async (t) => {
  const { listener, send } = await open(t)
  listener.useKeys(KEYS.map((key) => ({ ...key, port: listener.port + 1 })))
  await send(frame())
  listener.useKeys(KEYS.map((key) => ({ ...key, port: listener.port })))
  await send(frame())
  t.match(listener.counters(), { taken: 1, denied: { unknown_key: 1 } })
})

t.test('who takes over, or starts later, knows what has arrived', async (t) => {
  const old = await open(t)
  await old.send(...[0, 1, 3].map((seq) => frame({ seq })))
  const marks = old.listener.marks()
  const handed = await old.listener.leave()
  const next = await openBench(t, 1_000_000, 100, true, { keys: KEYS, marks })
  await next.send(frame({ key: `one:${OTHER_SECRET}`, seq: 4 }))
  t.match(next.listener.counters(), { packets: 1, denied: { wrong_code: 1 } }, 'a forgery is not held')
  next.listener.takeOver(handed)
  await next.send(...[1, 2, 3, 4].map((seq) => frame({ seq })))
  t.match(next.listener.counters(), { taken: 2, duplicates: 2, late: 1 })
  const later = await openBench(t, 1_000_000, 100, false, { keys: KEYS, marks })
  await later.send(...[0, 1, 2, 3, 4].map((seq) => frame({ seq })))
  t.match(later.listener.counters(), { taken: 1, stale: 4 })
})

t.test('ever new key ids and senders cost no memory', async (t) => {
  const bench = await open(t)
  await bench.send(frame())
  for (let round = 0; round < 20; round++) {
    await bench.send(...Array.from({ length: 100 }, (_, at) => packr.pack(
      [2, `k${round}-${at}`, `s${at}`, 1, 1, [], Buffer.alloc(32)])))
  }
  t.match(bench.listener.counters(), { denied: { unknown_key: 2_000 }, evicted: 0 })
  t.equal(bench.listener.marks().length, KEYS.length)
  t.equal(bench.listener.listSenders(0, 10).total, 1)
})

t.test('every reason to deny is documented', async (t) => {
  const { readFile } = await import('node:fs/promises')
  const spec = await readFile(new URL('../../../../../protocol/SPEC.md', import.meta.url), 'utf8')
  for (const reason of DENIED_REASONS) t.ok(spec.includes(`| \`${reason}\` |`), reason)
})

t.test('tables of keys that are gone are bounded, also those that an earlier process left', (t) => {
  const ring = new KeyRing(1, false, new SenderTable().totals)
  ring.replace(KEYS.slice(0, 1))
  const marks = Array.from({ length: TABLES_MAX + 5 }, (_, index) => (
    [`old-${index}`, { floor: -1, marks: [['s', { epoch: 1, highest: index }]] }] as const))
  ring.restore(marks)
  const left = ring.saveMarks().map(([id]) => id)
  t.equal(left.length, TABLES_MAX)
  t.strictSame([left[0], left[1], left.at(-1)], ['one', 'old-6', `old-${TABLES_MAX + 4}`])
  t.end()
})
