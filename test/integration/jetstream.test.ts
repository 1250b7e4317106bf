/** The log on a real cluster of three NATS servers: what lib/replicated/replicated-log.ts promises. */
import t from 'tap'
import { randomBytes } from 'node:crypto'
import { checkVersion, compareVersions, connectLog } from '../../lib/replicated/jetstream.js'
import { LogError, type FoundStream, type ReplicatedLog } from '../../lib/replicated/replicated-log.js'
import { eventually } from '../support/eventually.js'
import { findNatsServer, NatsCluster, NO_NATS_SERVER } from '../support/deploy/nats-cluster.js'

const LEADER_DEADLINE_MS = 60_000

const program = await findNatsServer()

function streamOf (epoch = 1): FoundStream {
  return {
    lane: randomBytes(16).toString('hex'),
    epoch,
    instance: 'test',
    slot: 3,
    after: epoch === 1 ? null : { sequence: 41, rows: 8_200 }
  }
}

async function fault (promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return error instanceof LogError ? error.fault : String(error)
  }
}

/** Waits until the servers have a leader. */
async function created (log: ReplicatedLog, stream: FoundStream): Promise<void> {
  await eventually('a stream is created', LEADER_DEADLINE_MS, async () => {
    await log.create(stream)
    return true
  })
}

/** A server that is busy lists no stream whose leader does not answer at once, and says so. */
async function listed (log: ReplicatedLog, lane?: string): Promise<readonly FoundStream[]> {
  return await eventually('all streams are listed', LEADER_DEADLINE_MS, async () => await log.list(lane))
}

t.test('versions that lose acknowledged messages are refused', (t) => {
  for (const version of ['2.9.10', '2.10.22', 'unknown']) t.throws(() => checkVersion(version), /needs 2\.10\.23/, version)
  for (const version of ['2.10.23', '2.10.27', '2.12.3', '3.0.0', '2.15.0-dev']) checkVersion(version)
  t.ok(compareVersions('2.9.10', '2.10.2') < 0)
  t.equal(compareVersions('v2.12.3', '2.12.3-beta'), 0)
  t.end()
})

t.test('three servers', { skip: program === null ? NO_NATS_SERVER : false, timeout: 120_000 }, async (t) => {
  const cluster = await NatsCluster.start(program ?? '')
  t.teardown(async () => { await cluster.stop() })
  const login = { user: null, password: null, replicas: 3, name: 'test' }
  const open = async (deployment: string): Promise<Awaited<ReturnType<typeof connectLog>>> =>
    await eventually('a server answers', LEADER_DEADLINE_MS, async () =>
      await connectLog({ ...login, servers: cluster.servers, deployment }))
  const log = await open('d1')
  t.teardown(async () => { await log.close() })
  const stream = streamOf()
  await created(log, stream)
  await log.create(stream)

  await t.test('messages are numbered from 1, and several may be under way', async (t) => {
    t.equal(await log.last(stream), 0)
    t.equal(await log.next(stream, 1), null)
    const bytes = [1, 2, 3, 4, 5].map((byte) => Buffer.alloc(10_000, byte))
    await Promise.all(bytes.map(async (message, index) => { await log.append(stream, index + 1, message) }))
    t.equal(await log.last(stream), 5)
    const third = await log.next(stream, 3)
    t.equal(third?.position, 3)
    t.ok(third?.bytes.equals(bytes[2] as Buffer))
    t.equal(await log.next(stream, 6), null)
  })

  await t.test('a message with another number is refused, and the largest is taken', async (t) => {
    t.equal(await fault(log.append(stream, 5, Buffer.from('again'))), 'conflict')
    t.equal(await fault(log.append(stream, 9, Buffer.from('too early'))), 'conflict')
    await log.append(stream, 6, randomBytes(log.messageBytesMax))
    t.equal((await log.next(stream, 6))?.bytes.length, log.messageBytesMax)
  })

  await t.test('trimmed messages are gone, numbers stay', async (t) => {
    await log.trim(stream, 4)
    t.equal((await log.next(stream, 1))?.position, 5)
    t.equal(await log.last(stream), 6)
  })

  await t.test('streams of another deployment are not listed', async (t) => {
    const other = await open('d2')
    t.teardown(async () => { await other.close() })
    const theirs = streamOf(7)
    await created(other, theirs)
    t.strictSame(await listed(other), [theirs])
    t.strictSame(await listed(log), [stream])
    t.strictSame(await listed(log, stream.lane), [stream])
    t.strictSame(await listed(log, theirs.lane), [])
    await other.remove(theirs)
    await other.remove(theirs)
    t.strictSame(await listed(other), [])
    t.equal(await fault(other.append(theirs, 1, Buffer.from('gone'))), 'away')
    t.equal(await fault(other.last(theirs)), 'missing')
  })

  await t.test('the leader is killed: appends go on, and nothing acknowledged is missing', async (t) => {
    let position = await log.last(stream)
    const append = async (): Promise<void> => {
      await eventually('a message is appended', LEADER_DEADLINE_MS, async () => {
        const error = await fault(log.append(stream, position + 1, Buffer.from(String(position + 1))))
        // An earlier attempt may have been stored without an answer.
        return error === 'none' || (error === 'conflict' && await log.last(stream) === position + 1) ? true : undefined
      })
      position++
    }
    for (const index of cluster.nodes.keys()) {
      await append()
      await cluster.kill(index)
      await append()
      cluster.startNode(index)
      await cluster.healthy()
      await append()
    }
    t.equal(await log.last(stream), position)
    for (let at = 7; at <= position; at++) t.equal((await log.next(stream, at))?.bytes.toString(), String(at))
  })
})
