/** UDP with real programs: packets go in, points come out of PostgreSQL, and everything is accounted for. */
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { pack } from 'msgpackr'
import { request } from 'undici'
import { Fleet } from '../../lib/sim/fleet/model.js'
import type { Summary } from '../../lib/sim/summary.js'
import { BUILT_IN, METRICS } from '../support/points/built-in.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { startIngest, startProgram, type Ingest } from '../support/programs/program.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { healthOf, sendersOf, settled } from '../support/programs/udp.js'
import { withDatabase } from '../support/load/verify.js'

const postgres = await startTestPostgres(t)

async function openSocket (t: Test, port: number): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  t.teardown(() => { socket.close() })
  return socket
}

async function start (t: Test, udpPort: string): Promise<Ingest> {
  const dataDir = await temporaryDirectory(t)
  return await startIngest(t, { dataDir, databaseUrl: postgres.url, udpPort, args: ['--workers', '1'] })
}

async function query<Row extends object> (sql: string): Promise<Row[]> {
  return await withDatabase(postgres, async (db) => (await db.query<Row>(sql)).rows)
}

t.test('plain points, a frame and heartbeats on two ports are stored exactly and counted', async (t) => {
  const ingest = await start(t, '0,0')
  t.equal(new Set(ingest.udpPorts).size, 2)
  const sockets = await Promise.all(ingest.udpPorts.map(async (port) => await openSocket(t, port)))
  const encoder = new PacketEncoder()
  const timeMicros = Date.now() * 1000 - 123_457
  for (const [index, socket] of sockets.entries()) {
    socket.send(pack({ satellite_id: `PLAIN-${index}`, battery_charge_percent: 0.1 + index }))
    encoder.begin('tester', 7, 0)
    encoder.add(`FRAME-${index}`, timeMicros, [NaN, 1e-300, -71.300000000000011])
    socket.send(Buffer.from(encoder.finish()))
    for (const seq of [2, 3, 4]) {
      encoder.begin('tester', 7, seq)
      socket.send(Buffer.from(encoder.finish()))
    }
    socket.send(Buffer.from('92', 'hex'))
  }
  const health = await settled(ingest.url, ({ udp }) => udp.packets === 12)
  t.match(health.points, { received: 4, accepted: 4, committed: 4, waiting: 0, rejected: 0 })
  t.match(health.udp, {
    packets: 12,
    taken: 10,
    heartbeats: 6,
    points: 4,
    malformed: { not_msgpack: 2 },
    gaps: 2,
    missing: 2,
    shed: 0,
    kernel_drops: 0
  })
  t.same(health.udp.sockets.map(({ port }) => port), ingest.udpPorts)
  const sender = { sender: 'tester', epoch: 7, highest: 4, received: 4, missing: 1 }
  const ports = ingest.udpPorts.toSorted((left, right) => left - right)
  t.match(await sendersOf(ingest.url), { total: 2, senders: ports.map((port) => ({ ...sender, port })) })
  t.match(await sendersOf(ingest.url, '?sender=nobody'), { total: 0, senders: [] })
  const metrics = await (await request(`${ingest.url}/metrics`)).body.text()
  t.match(metrics, /^orbitstream_udp_packets_total\{outcome="taken"\} 10$/m)
  t.match(metrics, /^orbitstream_udp_malformed_packets_total\{reason="not_msgpack"\} 2$/m)
  t.match(metrics, /^orbitstream_udp_kernel_drops_total 0$/m)
  const micros = String(timeMicros)
  const values = { battery_charge_percent: null, storage_usage_mb: 1e-300, signal_strength_dbm: -71.300000000000011 }
  t.match(await query(`
    SELECT *, (extract(epoch FROM time) * 1000000)::int8::text AS micros FROM telemetry ORDER BY satellite_id`), [
    { satellite_id: 'FRAME-0', micros, ...values },
    { satellite_id: 'FRAME-1', micros },
    { satellite_id: 'PLAIN-0', battery_charge_percent: 0.1 },
    { satellite_id: 'PLAIN-1', battery_charge_percent: 1.1 }
  ])
})

t.test('the simulator over UDP: everything sent is stored exactly', async (t) => {
  const ingest = await start(t, '0')
  const udpUrl = `udp://127.0.0.1:${String(ingest.udpPorts[0])}`
  const simulator = startProgram(t, 'orbitstream-sim', [
    '--transport', 'udp', '--udp-url', udpUrl, '--api-url', ingest.url, '--sender', 'sim',
    '-s', '20', '-r', '50', '-d', '3', '--seed', '7', '--json'
  ])
  t.equal(await simulator.exit, 0, simulator.stderr)
  const { sent, accepted, skipped_late: skipped, udp } = JSON.parse(simulator.stdout) as Summary
  t.equal(accepted, sent)
  t.match(udp, { sender: 'sim', missing: 0 })
  const { points } = await settled(ingest.url, ({ udp: { packets } }) => packets >= Number(udp?.sent))
  t.equal(points['committed'], sent)
  const rows = await query<{ satellite_id: string } & Record<string, number>>(
    "SELECT * FROM telemetry WHERE satellite_id LIKE 'SAT-____' ORDER BY time, satellite_id")
  t.equal(rows.length, sent)
  if (skipped > 0) {
    t.comment(`${skipped} points were skipped on a stalled machine, so values cannot be predicted`)
    return
  }
  const fleet = new Fleet({
    stream: BUILT_IN.telemetry, satellites: 20, seed: 7, anomalyRate: 0.01, onAnomaly: () => {}
  })
  const values = new Float64Array(METRICS.length)
  const stored = new Map(fleet.ids.map((id) => [id, rows.filter((row) => row.satellite_id === id)]))
  for (let point = 0; point < sent; point++) {
    const id = fleet.ids[point % 20]!
    fleet.sample(point % 20, point / 1000, values)
    const row = stored.get(id)![Math.floor(point / 20)]!
    const isExact = METRICS.every(({ name }, metric) => row[name] === values[metric])
    if (!isExact) t.same(row, Array.from(values), `point ${point} of ${id}`)
  }
})

t.test('packets sent before a graceful shutdown are stored', async (t) => {
  const ingest = await start(t, '0')
  const socket = await openSocket(t, ingest.udpPorts[0]!)
  for (let index = 0; index < 500; index++) socket.send(pack({ satellite_id: 'LAST', battery_charge_percent: index }))
  const last = pack({ satellite_id: 'LAST', battery_charge_percent: 500 })
  await new Promise<void>((resolve) => socket.send(last, () => resolve()))
  t.equal(await ingest.program.stop(), 0)
  t.same(await query("SELECT count(*)::text FROM telemetry WHERE satellite_id = 'LAST'"), [{ count: '501' }])
})

t.test('a killed worker is replaced on the same port', async (t) => {
  const ingest = await start(t, '0')
  const { workers } = await healthOf(ingest.url)
  const from = ingest.program.lines.length
  process.kill(workers.find(({ engine }) => engine === 'udp')!.pid, 'SIGKILL')
  await ingest.program.line((line) => line.msg === 'the new worker is serving', from)
  const socket = await openSocket(t, ingest.udpPorts[0]!)
  socket.send(pack({ satellite_id: 'AFTER', battery_charge_percent: 1 }))
  const { points } = await settled(ingest.url, ({ udp }) => udp.packets === 1)
  t.match(points, { committed: 1, waiting: 0 })
})

t.test('a UDP port in use is reported clearly', async (t) => {
  const holder = createSocket('udp4')
  holder.bind(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => { holder.close() })
  const { port } = holder.address()
  const program = startProgram(t, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', '0', '--udp-port', String(port),
    '--data-dir', await temporaryDirectory(t), '--database-url', postgres.url
  ])
  t.equal(await program.exit, 1)
  t.match(program.stderr, new RegExp(`UDP port ${port} is in use`))
  t.notMatch(program.stderr, /at .*\.js/)
})
