/**
 * The steps of docs/SCALE.md from one host to three, with the files of the profile `cluster` and processes in place of
 * containers: one host, the cluster beside it, senders move to the balancers, the first host stops. Then a host is
 * killed and started again under load.
 */
import t from 'tap'
import { join } from 'node:path'
import { Cluster, findClusterPrograms } from '../support/deploy/cluster.js'
import { runIngest } from '../support/programs/command.js'
import { conservationErrorPoints, drained, readHealth } from '../support/programs/health.js'
import { failuresOf, hostLanes, killAndRestart, UdpSenders } from '../support/load/host-kills.js'
import { CONNECTIONS, JournalClient } from '../support/load/journal-client.js'
import { lanesDrained } from '../support/load/log-rounds.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'
import { verify } from '../support/load/verify.js'

const POINTS_PER_SECOND = 500
const POINTS_BETWEEN = 200
const NO_STREAM = 'nginx with its stream module is not installed: libnginx-mod-stream'

const programs = await findClusterPrograms()
const skip = typeof programs === 'string' ? programs : false

t.setTimeout(280_000)
t.test('from one host to three, and one of them is killed', { skip }, async (t) => {
  if (typeof programs === 'string') return
  const postgres = await startTestPostgres(t)
  const dataDir = await temporaryDirectory(t)
  const first = await startIngest(t, { dataDir, databaseUrl: postgres.url, args: ['--workers', '1'] })
  const client = new JournalClient({ url: first.url, pointsPerRequest: 1, firstNumber: 1 })
  client.start(POINTS_PER_SECOND)
  await client.acknowledgedMore(POINTS_BETWEEN)

  const cluster = await Cluster.start(t, programs, postgres.url)
  t.match(await readHealth(cluster.url), { acknowledged: /^replicated: to 2 of 3 log servers/ })
  client.moveTo(cluster.url)
  await client.acknowledgedMore(POINTS_BETWEEN)
  for (const index of [0, 1]) {
    const { points } = await readHealth(cluster.host(index).url)
    t.ok(points['accepted'] && points['replicated'], 'both hosts accept points, and the log has them')
  }
  t.equal(await first.program.stop(), 0)
  const settings = { DATA_DIR: dataDir, SPOOL_DIR: join(dataDir, 'spool'), DATABASE_URL: postgres.url }
  t.match(await runIngest(['spool', 'drain'], settings), { code: 0, out: /The spool is empty/ })

  const { udpPort } = cluster
  const udp = udpPort === null ? null : await UdpSenders.start(t, udpPort)
  await udp?.stored(postgres, 'before')
  const failuresBefore = failuresOf([client])
  await killAndRestart(cluster, 0, [client], POINTS_BETWEEN)
  await udp?.stored(postgres, 'after')
  udp?.stop()
  t.ok(udp, 'packets of all UDP senders arrived', { skip: udp === null ? NO_STREAM : false })
  await client.stop()
  const failed = failuresOf([client]) - failuresBefore
  t.ok(failed <= CONNECTIONS, `only requests in flight fail: ${failed}, ${JSON.stringify([...client.failures])}`)
  t.comment(`longest time without an acknowledgement ${Math.round(client.longestGapMs)} ms`)
  await lanesDrained(postgres, hostLanes(1))
  for (const index of [0, 1]) {
    const { url, program } = cluster.host(index)
    await drained(url)
    t.equal(await conservationErrorPoints(url), 0)
    const { points: { accepted, replicated, failed } } = await readHealth(url)
    t.equal(replicated, (accepted ?? 0) - (failed ?? 0), 'the log has acknowledged all points')
    t.equal(await program.stop(), 0)
  }
  await verify(t, postgres, [client])
  await t.test('commands for the spool say what they can of lanes', async (t) => {
    const place = { ...cluster.settings, DATA_DIR: dataDir }
    const shown = /drained +\d+ s ago +epoch 1, sequence \d+ +0\n.*\nNothing is pending\.\n$/s
    t.match(await runIngest(['spool', 'inspect'], place), { code: 0, out: shown })
    const { out } = await runIngest(['spool', 'inspect', '--json'], place)
    t.match(JSON.parse(out), { log: { reachable: true }, lanes: [{ waitingRows: 0, closed: Boolean }] })
    t.match(await runIngest(['spool', 'drain'], place), { code: 1, err: /any server that runs with this log/ })
    t.match(await runIngest(['spool', 'resolve'], place), { code: 1, err: /set their rows in ingest_ledger by hand/ })
  })
})
