import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { checkPayload, connectLog, LOG_MESSAGE_BYTES } from '../../../lib/replicated/jetstream.js'
import { LogError, type ReplicatedLog } from '../../../lib/replicated/replicated-log.js'
import { eventually } from '../../support/eventually.js'

const LAST = 7
const INFO = { server_id: 'A', version: '2.12.3', headers: true, max_payload: 1024 * 1024, jetstream: true }

interface FakeNats {
  readonly address: string
  /** Logins that will be refused. */
  refusals: number
  /** To any request. */
  answer: string
  /** Ends all connections. */
  cut (): void
}

/** As much of a server as a client needs to log in and to ask for the last message of a stream. */
async function startFakeNats (t: Test): Promise<FakeNats> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => { sockets.delete(socket) }).on('error', () => {})
    socket.write(`INFO ${JSON.stringify(INFO)}\r\n`)
    let text = ''
    let subscription = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
        const [verb, ...words] = text.slice(0, end).split(' ')
        text = text.slice(end + 2)
        if (verb === 'SUB') subscription = words.at(-1) ?? ''
        if (verb === 'PING' && fake.refusals > 0) {
          fake.refusals--
          socket.end("-ERR 'Authentication Timeout'\r\n")
        } else if (verb === 'PING') {
          socket.write('PONG\r\n')
        }
        // The payload that follows is taken for a command, and ignored.
        if (verb === 'PUB' || verb === 'HPUB') {
          const { answer } = fake
          socket.write(`MSG ${words[1] ?? ''} ${subscription} ${answer.length}\r\n${answer}\r\n`)
        }
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const fake: FakeNats = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    refusals: 0,
    answer: JSON.stringify({ state: { last_seq: LAST } }),
    cut: () => { for (const socket of sockets) socket.destroy() }
  }
  t.teardown(() => {
    fake.cut()
    server.close()
  })
  return fake
}

t.test('a server whose messages are too small for frames is refused', (t) => {
  t.throws(() => { checkPayload(64 * 1024 - 1) }, /max_payload 65535; OrbitStream needs at least 65536/)
  for (const bytes of [64 * 1024, 1024 * 1024, 64 * 1024 * 1024]) checkPayload(bytes)
  t.ok(LOG_MESSAGE_BYTES.min < LOG_MESSAGE_BYTES.max)
  t.end()
})

const stream = { lane: 'ab'.repeat(16), epoch: 1 }

async function connectTo (t: Test, server: FakeNats): Promise<ReplicatedLog> {
  const log = await connectLog({
    servers: [server.address], user: 'orbitstream', password: 'p', replicas: 1, deployment: 'd', name: 'test'
  })
  t.teardown(async () => { await log.close() })
  return log
}

t.test('a log that refuses logins for a while is used again afterwards', async (t) => {
  const server = await startFakeNats(t)
  const log = await connectTo(t, server)
  t.equal(await log.last(stream), LAST)
  server.refusals = 3
  server.cut()
  t.equal(await eventually('the log answers', 30_000, async () => await log.last(stream)), LAST)
  t.equal(server.refusals, 0)
})

t.test('what is not an answer of JetStream, as from somebody else who subscribes, counts as none', async (t) => {
  const server = await startFakeNats(t)
  const log = await connectTo(t, server)
  const asked = {
    append: async () => { await log.append(stream, 1, Buffer.from('a')) },
    last: async () => await log.last(stream),
    next: async () => await log.next(stream, 5),
    list: async () => await log.list()
  }
  const never = ['', 'OK', 'null', '7', '[]', '{}', '{"error":null}', '{"error":{}}', '{"seq":"1"}', '{"state":null}',
    '{"state":{"last_seq":-1}}', '{"message":{"seq":4}}', '{"message":{"seq":5,"data":5}}',
    '{"total":1,"streams":[{}]}', '{"total":1,"streams":[null]}',
    '{"total":1,"streams":7}', '{"total":1,"missing":7}', '{"streams":[]}']
  for (const answer of never) {
    server.answer = answer
    for (const [what, ask] of Object.entries(asked)) {
      const fault = await ask().then(() => null, (error: unknown) => error instanceof LogError ? error.fault : error)
      t.equal(fault, 'away', `${what}: ${answer}`)
    }
  }
  server.answer = '{"error":{"err_code":10037}}'
  t.equal(await log.next(stream, 5), null)
  server.answer = '{"total":0,"streams":null}'
  t.strictSame(await log.list(), [])
})
