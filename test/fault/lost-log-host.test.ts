/**
 * The replicated log with real servers: an ingest host is lost for good, another one stores what it left; log servers
 * are killed under load; all of them are away for a while.
 */
import t from 'tap'
import type { Test } from 'tap'
import { request } from 'undici'
import { connectLog } from '../../lib/replicated/jetstream.js'
import { eventually } from '../support/eventually.js'
import { drained, readHealth } from '../support/programs/health.js'
import { JournalClient } from '../support/load/journal-client.js'
import { lanesDrained } from '../support/load/log-rounds.js'
import { findNatsServer, NatsCluster, NO_NATS_SERVER } from '../support/deploy/nats-cluster.js'
import { startTestPostgres, temporaryDirectory, type TestPostgres } from '../support/database/postgres.js'
import { startIngest, startProgram, type Ingest } from '../support/programs/program.js'
import { verify, withDatabase } from '../support/load/verify.js'

const NUMBERS = 10_000_000

const program = await findNatsServer()
const skip = program === null ? NO_NATS_SERVER : false

async function startCluster (t: Test): Promise<NatsCluster> {
  const cluster = await NatsCluster.start(program ?? '')
  t.teardown(async () => { await cluster.stop() })
  return cluster
}

async function startHost (
  t: Test, postgres: TestPostgres, cluster: NatsCluster, ...args: readonly string[]
): Promise<Ingest> {
  return await startIngest(t, {
    dataDir: await temporaryDirectory(t),
    databaseUrl: postgres.url,
    args: ['--workers', '1', '--spool-dir', cluster.url, '--log-takeover', '5s', ...args]
  })
}

async function killHost ({ program, url }: Ingest): Promise<void> {
  const workers = (await readHealth(url)).workers.map(({ pid }) => pid)
  for (const pid of [program.pid, ...workers]) process.kill(pid, 'SIGKILL')
  await program.exit
}

async function send ({ url }: Ingest, query = ''): Promise<{ status: number, body: unknown }> {
  const { statusCode, body } = await request(`${url}/telemetry/batch${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '[{"satellite_id":"ACK","battery_charge_percent":50}]'
  })
  return { status: statusCode, body: await body.json() }
}

/** A host is lost for good while the database is away, and somebody deletes the streams of its lane. */
async function loseWithStreams (t: Test, postgres: TestPostgres, cluster: NatsCluster): Promise<void> {
  const host = await startHost(t, postgres, cluster)
  const { lane, deployment } = await eventually('its lane is noted', 30_000, async () => {
    const { rows } = await withDatabase(postgres, async (db) => await db.query<{ lane: string, deployment: string }>(`
      SELECT lane, id AS deployment FROM ingest_lanes, ingest_deployment
      WHERE opened_at IS NOT NULL AND closed_at IS NULL ORDER BY opened_at DESC`))
    return rows.length === 2 ? rows[0] : undefined
  })
  await postgres.kill()
  t.match(await send(host), { status: 202 })
  await killHost(host)
  const login = { user: null, password: null, replicas: 3, name: 'test' }
  const log = await connectLog({ ...login, servers: cluster.servers, deployment })
  await log.remove({ lane, epoch: 1 })
  await log.close()
  await postgres.start()
}

t.setTimeout(280_000)
t.test('fewer log servers than LOG_REPLICAS: the start says what it waits for', { skip }, async (t) => {
  const postgres = await startTestPostgres(t)
  const cluster = await NatsCluster.start(program ?? '', 1)
  t.teardown(async () => { await cluster.stop() })
  const host = startProgram(t, 'orbitstream-ingest', [
    'start', '--host', '127.0.0.1', '--port', '0', '--udp-port', 'off', '--data-dir', await temporaryDirectory(t),
    '--database-url', postgres.url, '--workers', '1', '--spool-dir', cluster.url
  ], { env: { LOG_LEVEL: 'info' } })
  const line = await host.line(({ msg }) => /does not create a stream/.test(String(msg)))
  t.match(line, { level: 'error', msg: /retrying: .+/ })
  t.comment(line.msg)
  await host.stop()
})

t.test('a host is lost while points wait: another one stores what it acknowledged', { skip }, async (t) => {
  const postgres = await startTestPostgres(t)
  const cluster = await startCluster(t)
  const hosts = await Promise.all([startHost(t, postgres, cluster), startHost(t, postgres, cluster)])
  const [lost, heir] = hosts
  const clients = hosts.map(({ url }, index) =>
    new JournalClient({ url, pointsPerRequest: 10, firstNumber: 1 + index * NUMBERS }))
  for (const client of clients) client.start(1_000)
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(300)))
  await postgres.kill()
  await Promise.all(clients.map(async (client) => await client.acknowledgedMore(300)))
  await killHost(lost)
  await Promise.all(clients.map(async (client) => { await client.stop() }))
  await postgres.start()
  await lanesDrained(postgres, { writers: 1, lost: 1 })
  await drained(heir.url)
  await loseWithStreams(t, postgres, cluster)
  await eventually('the other host names the lane', 60_000, async () => {
    const { reasons } = await readHealth(heir.url)
    return reasons.some((reason) => /its stream is no longer in the log: it was deleted; nothing was read of it/.test(reason))
      ? true
      : undefined
  })
  await lanesDrained(postgres, { writers: 1, lost: 2 })
  t.equal(await heir.program.stop(), 0)
  await verify(t, postgres, clients)
})

t.test('a full log: points are refused and counted, all others are stored, and it accepts points again', { skip },
  async (t) => {
    const postgres = await startTestPostgres(t)
    const cluster = await NatsCluster.start(program ?? '', 1, '4MB')
    t.teardown(async () => { await cluster.stop() })
    const host = await startHost(t, postgres, cluster, '--log-replicas', '1')
    const client = new JournalClient({ url: host.url, pointsPerRequest: 200, firstNumber: 1 })
    client.start()
    await client.acknowledgedMore(1_000)
    await postgres.kill()
    await client.failed('503', 20)
    await client.stop()
    const { reasons, points } = await readHealth(host.url)
    t.match(reasons, [/is full/, /database/])
    const { accepted = 0, failed = 0, replicated, committed = 0, waiting = 0 } = points
    t.ok(failed > 0, `${failed} points were refused by the log`)
    t.strictSame([replicated, committed + waiting], [accepted - failed, accepted - failed])
    t.match(await send(host), { status: 503, body: { error: { code: 'spool_full' } } })
    await postgres.start()
    await drained(host.url)
    client.start(1_000)
    await client.acknowledgedMore(1_000)
    await client.stop()
    await drained(host.url)
    t.equal(await host.program.stop(), 0)
    await verify(t, postgres, [client])
  })

t.test('log servers are killed one by one, then all: nothing is lost, requests are refused with the reason', { skip },
  async (t) => {
    const postgres = await startTestPostgres(t)
    const cluster = await startCluster(t)
    const host = await startHost(t, postgres, cluster)
    const client = new JournalClient({ url: host.url, pointsPerRequest: 10, firstNumber: 1 })
    client.start(1_000)
    await client.acknowledgedMore(300)
    const accepted = { status: 202, body: { status: 'accepted', count: 1, ack: 'replicated' } }
    t.strictSame([await send(host), await send(host, '?ack=replicated')], [accepted, accepted])
    for (const index of cluster.nodes.keys()) {
      await cluster.kill(index)
      await client.acknowledgedMore(50)
      cluster.startNode(index)
      await cluster.healthy()
      await client.acknowledgedMore(50)
    }
    for (const index of cluster.nodes.keys()) await cluster.kill(index)
    const startedMs = performance.now()
    const refused = await eventually('points are refused', 30_000, async () => {
      const answer = await send(host)
      return answer.status === 503 ? answer : undefined
    })
    t.comment(`refused after ${Math.round(performance.now() - startedMs)} ms`)
    t.match(refused.body, { error: { code: /^log_un(answered|available)$/ } })
    t.match(await send(host), { status: 503, body: { error: { code: 'log_unavailable' } } })
    for (const index of cluster.nodes.keys()) cluster.startNode(index)
    await client.acknowledgedMore(100)
    await client.stop()
    await drained(host.url)
    t.equal(await host.program.stop(), 0)
    await verify(t, postgres, [client])
  })
