/**
 * Packets that are lost, repeated, reordered, or not read in time: each one is stored or counted, never both or
 * neither.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { connect } from '../../lib/database/connection.js'
import type { Database } from '../../lib/database/database.js'
import { PacketSender } from '../support/load/packet-sender.js'
import { startIngest, type Ingest } from '../support/programs/program.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startRoughProxy } from '../support/faults/rough-proxy.js'
import { healthOf, settled } from '../support/programs/udp.js'

/** Set in the child of this test that runs in a network namespace of its own, where nftables drops. */
const IN_NAMESPACE = process.env['UDP_LOSS_NAMESPACE'] !== undefined
const DROP_RULES = 'table inet loss { chain input { type filter hook input priority 0; ' +
  'iifname "lo" meta l4proto udp numgen random mod 100 < 20 counter drop; }; }'

async function start (
  t: Test, args: readonly string[] = []
): Promise<{ readonly ingest: Ingest, readonly db: Database }> {
  const postgres = await startTestPostgres(t)
  const ingest = await startIngest(
    t,
    {
      dataDir: await temporaryDirectory(t), databaseUrl: postgres.url, udpPort: '0', args: ['--workers', '1', ...args]
    })
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  t.teardown(async () => { await db.close() })
  return { ingest, db }
}

/** Packets that nftables has dropped here. */
function droppedByRules (): number {
  const { stdout } = spawnSync('nft', ['list', 'table', 'inet', 'loss'], { encoding: 'utf8' })
  return Number(/packets (\d+)/.exec(stdout)?.[1])
}

/** Why packets cannot be dropped by nftables here; false: they can. */
function whyNoRules (): string | false {
  const script = `ip link set lo up && nft '${DROP_RULES}'`
  const { status, stderr, error } = spawnSync('unshare', ['--net', 'sh', '-c', script], { encoding: 'utf8' })
  return status === 0 ? false : `needs root, ip and nft: ${(error?.message ?? stderr).trim().split('\n')[0] ?? ''}`
}

if (IN_NAMESPACE) {
  t.test('two senders, a fifth of their packets dropped by nftables', async (t) => {
    const { ingest, db } = await start(t)
    const senders = await Promise.all(
      ['LOSSY-A', 'LOSSY-B'].map(async (name) => await PacketSender.open(t, name, ingest.udpPorts[0]!)))
    await Promise.all(senders.map(async (sender) => { await sender.send(4_000, 4_000) }))
    const dropped = droppedByRules()
    const accounts = await Promise.all(senders.map(async (sender) => await sender.finish(ingest.url)))
    const health = await settled(ingest.url, ({ udp }) => udp.gaps > 0)
    for (const [index, sender] of senders.entries()) {
      const { received, missing } = accounts[index]!
      t.equal(received + missing, sender.sent, 'sent = received + missing')
      t.equal(
        await sender.storedPackets(db) + missing, sender.sent - 1, 'sent = stored + missing, but for the heartbeat')
    }
    t.equal(health.udp.missing, dropped, 'what nftables dropped is missing, exactly')
    t.ok(dropped > 1_300 && dropped < 1_900, `${dropped} of 8,000 dropped`)
  })
} else {
  t.test('20% dropped by nftables: sent = stored + missing', { skip: whyNoRules() }, async (t) => {
    const script = `ip link set lo up && nft '${DROP_RULES}' && exec "${process.execPath}" "${fileURLToPath(
      import.meta.url)}"`
    const child = spawn(
      'unshare', ['--net', 'sh', '-c', script],
      { env: { ...process.env, UDP_LOSS_NAMESPACE: '1' }, stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => { child.kill() })
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => { text += chunk.toString() })
    const [code] = await once(child, 'close') as [number]
    t.equal(code, 0, text)
    t.match(text, /^ok 1 - two senders/m, 'the test in the namespace did run')
  })

  t.test('dropped, repeated and reordered on the way: sent = stored + missing', async (t) => {
    const { ingest, db } = await start(t)
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
    t.comment(`SEED=${seed}`)
    const proxy = await startRoughProxy(
      t, ingest.udpPorts[0]!, { seed, drop: 0.2, repeat: 0.1, delay: 0.2, delayPacketsMax: 200 })
    const sender = await PacketSender.open(t, 'ROUGH', proxy.port)
    await sender.send(6_000, 4_000)
    proxy.smooth()
    const { received, missing, duplicates, stale } = await sender.finish(ingest.url)
    const { udp } = await settled(ingest.url, () => true)
    t.equal(received + missing, sender.sent)
    t.equal(await sender.storedPackets(db) + missing, sender.sent - 1)
    t.equal(missing, proxy.dropped())
    t.equal(stale, 0, 'nothing was later than the window')
    t.ok(duplicates >= proxy.repeated(), `${duplicates} repetitions were dropped`)
    t.ok(proxy.repeated() > 100 && proxy.delayed() > 100 && udp.late > 100)
  })

  t.test('a worker that stands still for two seconds: kernel drops and gaps agree', async (t) => {
    const { ingest, db } = await start(t, ['--udp-receive-buffer', '256KB'])
    const sender = await PacketSender.open(t, 'STOPPED', ingest.udpPorts[0]!)
    const pid = (await healthOf(ingest.url)).workers.find(({ engine }) => engine === 'udp')!.pid
    await sender.send(500, 2_000)
    process.kill(pid, 'SIGSTOP')
    const sending = sender.send(8_000, 2_000)
    await wait(2_000)
    process.kill(pid, 'SIGCONT')
    await sending
    const { received, missing } = await sender.finish(ingest.url)
    const { udp, points } = await settled(ingest.url, () => true)
    t.ok(udp.kernel_drops > 500, `the kernel dropped ${udp.kernel_drops} packets`)
    t.equal(missing, udp.kernel_drops, 'both views agree')
    t.equal(received + missing, sender.sent)
    t.equal(await sender.storedPackets(db) + missing, sender.sent - 1)
    t.equal(points['received'], points['committed'])
  })

  t.test('malformed packets at full speed do not stop HTTP', async (t) => {
    const { ingest, db } = await start(t)
    const flood = spawn(
      process.execPath,
      [fileURLToPath(new URL('../support/faults/udp-flood.js', import.meta.url)), String(ingest.udpPorts[0]), '2000'],
      { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => { flood.kill() })
    let sent = ''
    flood.stdout.on('data', (chunk: Buffer) => { sent += chunk.toString() })
    const ended = once(flood, 'close')
    const flooding = { isOver: false }
    void ended.then(() => { flooding.isOver = true })
    let [answers, slowestMs] = [0, 0]
    while (!flooding.isOver) {
      const startedMs = performance.now()
      const { statusCode, body } = await request(
        `${ingest.url}/telemetry`, { method: 'POST', body: '{"satellite_id":"HTTP","battery_charge_percent":1}' })
      await body.dump()
      if (statusCode === 202) answers++
      else t.fail(`status ${statusCode}`)
      slowestMs = Math.max(slowestMs, performance.now() - startedMs)
    }
    t.comment(
      `${sent.trim()} packets in 2 s; ${answers} answers meanwhile, the slowest after ${Math.round(slowestMs)} ms`)
    t.ok(Number(sent) > 10_000 && answers > 20)
    t.ok(slowestMs < 2_000)
    const health = await settled(ingest.url, ({ udp }) => udp.packets + udp.kernel_drops >= Number(sent))
    const malformed = Object.values(health.udp.malformed).reduce((sum, packets) => sum + packets, 0)
    // By chance a packet may carry an older epoch, or be a heartbeat: that is taken, and has no points.
    const { packets, duplicates, stale, taken, points } = health.udp
    t.equal(packets, malformed + duplicates + stale + taken, 'every packet that was read is counted once')
    t.equal(points, 0, 'and not one point was taken')
    t.equal(health.udp.packets + health.udp.kernel_drops, Number(sent))
    t.match(health.workers, [{ state: 'ready' }, { state: 'ready', engine: 'udp' }])
    t.same(
      (await db.query('SELECT satellite_id, count(*)::int FROM telemetry GROUP BY 1')).rows,
      [{ satellite_id: 'HTTP', count: answers }])
  })
}
