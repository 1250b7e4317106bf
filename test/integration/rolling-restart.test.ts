/** `restart --rolling` with real programs: under load nothing is refused, failed, lost or stored twice. */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { conservationErrorPoints, drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { PacketSender } from '../support/load/packet-sender.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest, startProgram, type Program } from '../support/programs/program.js'
import { healthOf } from '../support/programs/udp.js'
import { verify, withDatabase } from '../support/load/verify.js'

t.setTimeout(240_000)

const PACKETS_PER_SECOND = 500
const PACKETS_A_TURN = 100
const ACKNOWLEDGEMENTS = ['', '?ack=committed', '?ack=received']

function restart (t: Test, dataDir: string): Program {
  return startProgram(t, 'orbitstream-ingest', ['restart', '--rolling', '--data-dir', dataDir])
}

for (const [engine, workers] of [['uws', 2], ['node', 1]] as const) {
  t.test(`${engine}: two rolling restarts under load over HTTP and UDP`, async (t) => {
    const postgres = await startTestPostgres(t)
    const dataDir = await temporaryDirectory(t)
    const args = ['--workers', String(workers), '--http-engine', engine]
    const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, udpPort: '0', args })
    const pids = (await readHealth(ingest.url)).workers.map(({ pid }) => pid)
    let asked = 0
    const client = new JournalClient({
      url: ingest.url, pointsPerRequest: 1, query: () => ACKNOWLEDGEMENTS[asked++ % ACKNOWLEDGEMENTS.length] ?? ''
    })
    const sender = await PacketSender.open(t, 'rolling', ingest.udpPorts[0] ?? 0)
    const load = { goesOn: true }
    const send = async (): Promise<void> => {
      while (load.goesOn) await sender.send(PACKETS_A_TURN, PACKETS_PER_SECOND)
    }
    client.start()
    const sent = send()
    await client.acknowledgedMore(100)
    for (let roll = 1; roll <= 2; roll++) {
      const command = restart(t, dataDir)
      t.equal(await command.exit, 0, command.stderr)
      await client.acknowledgedMore(100)
    }
    load.goesOn = false
    await sent
    await client.stop()
    t.same([...client.failures], [], `of ${client.acknowledged.size} requests`)
    t.match(await sender.finish(ingest.url), { received: sender.sent, missing: 0, duplicates: 0, stale: 0 })
    const { workers: after, status } = await drained(ingest.url)
    t.equal(status, 'healthy')
    t.equal(after.length, workers + 1)
    t.notOk(after.some(({ pid }) => pids.includes(pid)), 'no worker is an old one')
    const { udp } = await healthOf(ingest.url)
    t.match(udp, { missing: 0, duplicates: 0, shed: 0, kernel_drops: 0, sockets: { length: 1 } })
    t.equal(await conservationErrorPoints(ingest.url), 0)
    await verify(t, postgres, [client])
    const packets = await withDatabase(postgres, async (db) => await sender.storedPackets(db))
    t.equal(packets, sender.sent - 1, 'all but the heartbeat')
    t.notOk(ingest.program.lines.some(({ level }) => level === 'error'))
    t.equal(await ingest.program.stop(), 0)
  })
}

t.test('a worker that cannot be replaced serves on; a restart beside another one is refused', async (t) => {
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const ingest = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] })
  const [before] = (await readHealth(ingest.url)).workers
  const inTheWay = join(dataDir, 'spool', 'slot-1')
  await writeFile(inTheWay, '')
  const failed = restart(t, dataDir)
  t.equal(await failed.exit, 1)
  t.match(failed.stderr, /^error: The worker that was to replace worker 0 failed: .*slot-1/)
  const degraded = await readHealth(ingest.url)
  t.match(degraded, { status: 'degraded', workers: { length: 1, 0: { slot: 0, pid: before?.pid, state: 'ready' } } })
  t.match(degraded.reasons, [/^the rolling restart stopped before all workers were replaced: .*slot-1/])
  await rm(inTheWay)
  const from = ingest.program.lines.length
  await withDatabase(postgres, async (db) => {
    await db.query('BEGIN; LOCK TABLE telemetry IN SHARE MODE')
    const headers = { 'content-type': 'application/json' }
    const body = '{"satellite_id":"A","battery_charge_percent":1}'
    const answer = await request(`${ingest.url}/telemetry`, { method: 'POST', headers, body })
    t.equal(answer.statusCode, 202)
    await answer.body.dump()
    const first = restart(t, dataDir)
    await ingest.program.line(({ msg }) => msg?.startsWith('rolling restart: ') === true, from)
    const second = restart(t, dataDir)
    t.equal(await second.exit, 1)
    t.match(second.stderr, 'A rolling restart is already running')
    await db.query('COMMIT')
    t.equal(await first.exit, 0, first.stderr)
  })
  t.match(await readHealth(ingest.url), { status: 'healthy', workers: { length: 1, 0: { slot: 1, state: 'ready' } } })

  const file = join(dataDir, 'rolling-restart.json')
  await writeFile(file, (await readFile(file, 'utf8')).replace(/"version":"[^"]*"/, '"version":"9.9.9"'))
  const other = restart(t, dataDir)
  t.equal(await other.exit, 1)
  t.match(other.stderr, /^error: The server runs version 9\.9\.9, but the program on disk is version /)
  t.equal(await ingest.program.stop(), 0)
  const gone = restart(t, dataDir)
  t.equal(await gone.exit, 1)
  t.match(gone.stderr, 'No server is running on the DATA_DIR')
})
