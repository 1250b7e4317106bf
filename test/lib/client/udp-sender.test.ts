/** The UDP sender: numbered packets of bounded size, heartbeats. */
import t from 'tap'
import { createSocket } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import { unpack } from 'msgpackr'
import { UdpSender } from '../../../lib/client/client.js'
import { keyIdOf, PacketSigner } from '../../../protocol/packet/packet-key.js'

type Head = readonly [version: number, sender: string, epoch: number, seq: number]
type Rows = readonly unknown[]
type Frame = readonly [...Head, Rows] | readonly [...Head, stream: string, Rows]

const rowsOf = (frame: Frame): Rows => frame.at(-1) as Rows

const socket = createSocket('udp4')
const frames: Frame[] = []
const packets: Buffer[] = []
const events = new EventEmitter()
socket.on('message', (packet) => {
  frames.push(unpack(packet) as Frame)
  packets.push(packet)
  events.emit('frame')
})
socket.bind(0, '127.0.0.1')
await once(socket, 'listening')
t.teardown(() => socket.close())
const url = `udp://127.0.0.1:${socket.address().port}`

async function received (isEnough: () => boolean): Promise<void> {
  while (!isEnough()) await once(events, 'frame')
}

t.test('full packets at once, others after a second, heartbeats when idle and at the end', async (t) => {
  const sender = await UdpSender.open({ url, sender: 'bench', epoch: 7, packetBytesMax: 300 })
  for (let point = 0; point < 20; point++) sender.add(`SAT-${point}`, 1_800_000_000_000_000, [1.5, NaN, point])
  await received(() => frames.length > 1)
  await received(() => frames.flatMap(([, , , , rows]) => rows).length === 20)
  await received(() => frames.some(([, , , , rows]) => rows.length === 0))
  sender.add('SAT-last', null, [1])
  await sender.close()
  await received(() => frames.slice(-4).every(([, , , seq, rows]) => rows.length === 0 && seq === frames.at(-1)?.[3]))
  t.ok(packets.every(({ length }) => length <= 300))
  t.ok(frames.every(([version, name, epoch]) => version === 1 && name === 'bench' && epoch === 7))
  const numbers = frames.slice(0, -3).map(([, , , seq]) => seq)
  t.same(numbers, numbers.map((_, index) => index))
  const rows = frames.flatMap(([, , , , rows]) => rows)
  t.same(rows[3], ['SAT-3', 1_800_000_000_000_000, 1.5, null, 3])
  t.same(rows.at(-1), ['SAT-last', null, 1])
  t.equal(sender.failed, 0)
})

t.test('a packet for each stream, numbered in the order of sending', async (t) => {
  const from = frames.length
  const sender = await UdpSender.open({ url, sender: 'streams', packetBytesMax: 300 })
  for (let point = 0; point < 30; point++) {
    sender.add('A', 1_800_000_000_000_000, [point, 0.1])
    sender.add('A', 1_800_000_000_000_000, [point, 0.2], 'power')
    if (point % 10 === 0) sender.add('A', 1_800_000_000_000_000, [point], 'radio')
  }
  t.throws(() => { sender.add('A', null, [1], 'x'.repeat(25)) }, /name of a stream/)
  await sender.close()
  await received(() => frames.slice(-4).every((frame) => frame[1] === 'streams' && rowsOf(frame).length === 0))
  const own = frames.slice(from, -3)
  t.same(own.map(([, , , seq]) => seq), own.map((_, index) => index))
  for (const [stream, points] of [['power', 30], ['radio', 3]] as const) {
    const packets = own.filter((frame) => frame.length === 6 && frame[4] === stream)
    t.equal(packets.flatMap(rowsOf).length, points, stream)
    t.ok(packets.length <= 5, `${packets.length} packets`)
  }
  t.equal(own.filter((frame) => frame.length === 5).flatMap(rowsOf).length, 30, 'telemetry has no name')
})

t.test('with a key, every packet is authenticated', async (t) => {
  const [from, secret] = [packets.length, 's'.repeat(40)]
  const sender = await UdpSender.open({ url, sender: 'bench', packetBytesMax: 400, key: `k:${secret}` })
  for (let point = 0; point < 30; point++) sender.add(`SAT-${point}`, 1_800_000_000_000_000, [1.5, NaN, point])
  await sender.close()
  await received(() => packets.length >= from + 7)
  const signer = new PacketSigner(secret)
  t.ok(packets.slice(from).every((packet) => packet.length <= 400 && keyIdOf(packet) === 'k' && signer.accepts(packet)))
})

t.test('what cannot be sent', async (t) => {
  await t.rejects(UdpSender.open({ url, sender: 'x', key: 'k:short' }), /^the key must be ID:SECRET/)
  await t.rejects(UdpSender.open({ url: 'http://127.0.0.1:1', sender: 'x' }), /is not like udp/)
  await t.rejects(UdpSender.open({ url: 'udp://127.0.0.1', sender: 'x' }), /is not like udp/)
  await t.rejects(UdpSender.open({ url: 'udp://127.0.0.1:0', sender: 'x' }), /is not like udp/)
  await t.rejects(UdpSender.open({ url: 'udp://255.255.255.255:8081', sender: 'x' }), { code: 'EACCES' }, 'broadcast')
  const sender = await UdpSender.open({ url, sender: 'small', packetBytesMax: 300 })
  t.throws(() => { sender.add('A', null, new Float64Array(100).fill(1.1)) }, /larger than a packet/)
  sender.add('A', null, [1])
  const closing = sender.close()
  t.throws(() => { sender.add('A', null, [2]) }, /the sender was closed/, 'it would not be sent')
  t.throws(() => { sender.flush() }, /the sender was closed/)
  await Promise.all([closing, sender.close()])
  t.throws(() => { sender.add('A', null, [3], 'power') }, /the sender was closed/)
})
