/** UDP keys with real programs: what an attacker has captured is never stored again, across restarts of every kind. */
import { createSocket, type Socket } from 'node:dgram'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Summary } from '../../lib/sim/summary.js'
import { PacketEncoder } from '../../protocol/packet/packet-encoder.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram, type Ingest, type Program } from '../support/programs/program.js'
import { sendersOf, settled, type UdpHealth } from '../support/programs/udp.js'
import { withDatabase } from '../support/load/verify.js'

t.setTimeout(240_000)

const SECRET = 'of-the-integration-test-'.repeat(2)
const KEY = `ground:${SECRET}`
const PACKETS = 10
const directory = await temporaryDirectory(t)
const keysFile = join(directory, 'keys.yaml')
const postgres = await startTestPostgres(t)

async function writeKeys (id: string): Promise<void> {
  await writeFile(keysFile, `keys:\n- { id: ${id}, secret: "${SECRET}", senders: [s*] }\n`, { mode: 0o600 })
}

async function start (): Promise<Ingest> {
  const args = ['--workers', '1', '--udp-keys-file', keysFile]
  return await startIngest(t, { dataDir: join(directory, 'data'), databaseUrl: postgres.url, udpPort: '0', args })
}

function packet (epoch: number, seq: number): Buffer {
  const encoder = new PacketEncoder(undefined, KEY)
  encoder.begin('s', epoch, seq)
  encoder.add('CAPTURED', Date.now() * 1000, [epoch, seq])
  return Buffer.from(encoder.finish())
}

async function storedPoints (): Promise<number> {
  return await withDatabase(postgres, async (db) => {
    const { rows } = await db.query<{ count: string }>(
      "SELECT count(*) FROM telemetry WHERE satellite_id = 'CAPTURED'")
    return Number(rows[0]?.count)
  })
}

t.test('a sender, its captured packets, and a server that is restarted', async (t) => {
  await writeKeys('ground')
  let ingest = await start()
  const socket: Socket = createSocket('udp4')
  t.teardown(() => { socket.close() })
  /** Sends packets and waits until the server has counted as many. */
  const send = async (packets: readonly Buffer[], counted = packets.length): Promise<UdpHealth> => {
    for (const each of packets) socket.send(each, ingest.udpPorts[0] ?? 0, '127.0.0.1')
    return await settled(ingest.url, ({ udp }) => udp.packets === counted)
  }
  const captured = Array.from({ length: PACKETS }, (_, seq) => packet(7, seq))
  const first = await send(captured)
  t.match(first.udp, { packets: PACKETS, taken: PACKETS, authenticated: PACKETS, duplicates: 0 })

  const restart = startProgram(t, 'orbitstream-ingest', ['restart', '--rolling', '--data-dir', ingest.dataDir])
  t.equal(await restart.exit, 0, restart.stderr)
  const { udp: rolled } = await send([...captured, packet(7, PACKETS)], 2 * PACKETS + 1)
  t.match(rolled, { taken: PACKETS + 1, duplicates: PACKETS })
  t.match(await sendersOf(ingest.url), { senders: [{ sender: 's', key: 'ground', received: PACKETS + 1, missing: 0 }] })

  t.equal(await ingest.program.stop(), 0)
  ingest = await start()
  const forged = captured.map((each) => Buffer.concat([each.subarray(0, -1), Buffer.from([each.at(-1)! ^ 1])]))
  const after = await send([...captured, ...forged, packet(7, PACKETS + 2)])
  t.match(after.udp, { taken: 1, stale: PACKETS, denied: { wrong_code: PACKETS } })
  t.match(after.points, { accepted: 1, received: 1 })
  t.match(await sendersOf(ingest.url), { senders: [{ sender: 's', epoch: 7, received: 1, missing: 0 }] })
  t.equal(await storedPoints(), PACKETS + 2)

  await writeKeys('other')
  const from = ingest.program.lines.length
  ingest.program.child.kill('SIGHUP')
  await ingest.program.line(({ msg }) => msg === 'UDP_KEYS_FILE reloaded', from)
  t.match((await send([packet(7, PACKETS + 3)], 2 * PACKETS + 2)).udp, { taken: 1, denied: { unknown_key: 1 } })
  await writeKeys('ground')
  ingest.program.child.kill('SIGHUP')
  await ingest.program.line(({ msg }) => msg === 'UDP_KEYS_FILE reloaded', from + 1)

  const udpUrl = `udp://127.0.0.1:${String(ingest.udpPorts[0])}`
  const fleet = ['-s', '5', '-r', '20', '-d', '1', '--json']
  const words = ['--transport', 'udp', '--udp-url', udpUrl, '--api-url', ingest.url, ...fleet]
  const simulate = (sender: string): Program => (
    startProgram(t, 'orbitstream-sim', [...words, '--sender', sender], { env: { UDP_KEY: KEY } }))
  const [good, bad] = [simulate('sim'), simulate('x')]
  t.equal(await good.exit, 0, good.stderr)
  t.match((JSON.parse(good.stdout) as Summary).udp, { missing: 0, sender: 'sim' })
  t.equal(await bad.exit, 1, 'a name that the key does not allow')
  const { udp } = JSON.parse(bad.stdout) as Summary
  t.ok(udp?.received === null && (udp.denied ?? 0) > 0)
})
