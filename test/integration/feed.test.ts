/** The live feed of a real program: numbers, points, anomalies, limits, a worker's death, a database that goes away. */
import { createSocket } from 'node:dgram'
import { join } from 'node:path'
import { pack } from 'msgpackr'
import t from 'tap'
import { strict as assert } from 'node:assert'
import { request } from 'undici'
import { METRICS } from '../support/points/built-in.js'
import { within } from '../support/eventually.js'
import { startTestPostgres, temporaryDirectory } from '../support/database/postgres.js'
import { startIngest } from '../support/programs/program.js'

const DEADLINE_MS = 30_000
const [BATTERY, STORAGE] = METRICS.map(({ name }) => name) as [string, string]

interface FeedEvent {
  readonly name: string
  readonly data: never
}

interface Fleet {
  readonly rates: { readonly now: { readonly http: number, readonly udp: number } | null }
  readonly points: Readonly<Record<string, number>>
  readonly udp: { readonly points: number }
  readonly spool: { readonly kind: string, readonly limit_bytes: number }
  readonly database: { readonly state: string, readonly error: string | null }
  readonly workers: ReadonlyArray<{ readonly kind: string, readonly pid: number, readonly state: string }>
}

interface Problem {
  readonly code: string
  readonly since_ms: number
}

/** A client that keeps all its events. */
class Client {
  readonly events: FeedEvent[] = []
  private readonly wakers = new Set<() => void>()

  constructor (body: NodeJS.ReadableStream) {
    let text = ''
    body.on('error', () => {})
    body.on('data', (chunk: Buffer) => {
      const blocks = (text + chunk.toString()).split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const [, name = ''] = /^event: (.*)$/m.exec(block) ?? []
        const [, data = 'null'] = /^data: (.*)$/m.exec(block) ?? []
        this.events.push({ name, data: JSON.parse(data) as never })
      }
      for (const wake of this.wakers) wake()
    })
  }

  static async open (url: string, query: string): Promise<Client> {
    const { statusCode, body } = await request(`${url}/feed?${query}`)
    t.equal(statusCode, 200)
    return new Client(body)
  }

  /** The first event from now on, or from the beginning, that fulfils the condition. */
  async first<T> (name: string, isWanted: (data: T) => boolean = () => true, from = this.events.length): Promise<T> {
    const search = async (): Promise<T> => {
      for (let at = from; ; at++) {
        while (at >= this.events.length) await new Promise<void>((resolve) => this.wakers.add(resolve))
        const event = this.events[at]
        if (event?.name === name && isWanted(event.data)) return event.data
      }
    }
    return await within(`a ${name} event; ${this.events.length} so far`, DEADLINE_MS, search())
  }
}

const postgres = await startTestPostgres(t)
const { url, udpPorts } = await startIngest(t, {
  dataDir: join(await temporaryDirectory(t), 'data'),
  databaseUrl: postgres.url,
  args: ['--workers', '2'],
  udpPort: '0'
})

async function post (id: string, values: Record<string, number>): Promise<void> {
  const { statusCode, body } = await request(`${url}/telemetry`, {
    method: 'POST', body: JSON.stringify({ satellite_id: id, ...values })
  })
  t.equal(statusCode, 202)
  await body.dump()
}

t.test('what a client asked for, from points to limits', async (t) => {
  const all = await Client.open(url, 'parts=fleet,satellites,anomalies')
  const one = await Client.open(url, `satellite=A%2F1&metrics=${STORAGE}`)
  t.match(await one.first('hello', () => true, 0), { tick_ms: 250, limits_version: Number })
  t.strictSame(await all.first('problems', () => true, 0), [])
  await all.first('fleet')
  await post('A/1', { [BATTERY]: 1, [STORAGE]: 7 })
  await post('B', { [BATTERY]: 50 })
  const stateOf = (id: string, state: string) => ({ changed }: { changed: unknown[][] }): boolean => (
    changed.some(([changedId, , changedState]) => changedId === id && changedState === state))
  await Promise.all([
    all.first('satellites', stateOf('A/1', 'critical'), 0),
    all.first('satellites', stateOf('B', 'ok'), 0),
    all.first<Record<string, unknown>>('anomaly', (anomaly) => anomaly['satellite_id'] === 'A/1', 0)
  ])
  const point = await one.first<{ values: object }>('point', () => true, 0)
  t.match(point, { satellite: 'A/1', stream: 'telemetry', state: 'critical', values: { [STORAGE]: [Number, 7] } })
  t.strictSame(Object.keys(point.values), [STORAGE])
  const socket = createSocket('udp4')
  socket.send(pack({ satellite_id: 'U', [BATTERY]: 50 }), udpPorts[0], '127.0.0.1', () => socket.close())
  const fleet = await all.first<Fleet>('fleet', ({ udp, points }) => udp.points === 1 && points['committed'] === 3)
  t.match(fleet, {
    rates: { now: { http: Number, udp: Number } },
    points: { accepted: 3, spooled: 3, committed: 3, unspooled: 0, waiting: 0 },
    spool: { kind: 'disk', limit_bytes: Number },
    database: { state: 'up', error: null },
    workers: [{ kind: 'http' }, { kind: 'http' }, { kind: 'udp' }]
  })
  t.ok((fleet.rates.now?.http ?? 0) + (fleet.rates.now?.udp ?? 0) > 0)
  const { statusCode } = await request(`${url}/limits/${BATTERY}`, {
    method: 'PATCH', body: JSON.stringify({ low: { critical: 60 } })
  })
  t.equal(statusCode, 200)
  await Promise.all([all.first('limits', () => true, 0), one.first('limits', () => true, 0)])
  await post('B', { [BATTERY]: 50 })
  await all.first('satellites', stateOf('B', 'critical'), 0)
})

t.test('a worker dies: a gap, and a problem that goes by itself', async () => {
  const client = await Client.open(url, 'parts=fleet,satellites')
  const { workers } = await client.first<Fleet>('fleet')
  const from = client.events.length
  const pid = workers[2]?.pid
  assert.ok(pid !== undefined, 'it has three workers')
  process.kill(pid, 'SIGKILL')
  await client.first<{ cause: string }>('gap', ({ cause }) => cause === 'worker_died', from)
  const isRestarted = (problems: Problem[]): boolean => problems.some(({ code }) => code === 'worker_restarted')
  await client.first('problems', isRestarted, from)
  await client.first<Fleet>('fleet', ({ points }) => points['accepted'] === 4 && points['committed'] === 4, from)
})

t.test('the database goes away and comes back', async (t) => {
  const client = await Client.open(url, 'parts=fleet')
  await client.first('fleet')
  await postgres.kill()
  const beforeMs = Date.now()
  await post('A/1', { [BATTERY]: 70 })
  const isAway = (problems: Problem[]): boolean => problems.some(({ code }) => code === 'database_away')
  const problems = await client.first('problems', isAway, 0)
  const since = problems.find(({ code }) => code === 'database_away')?.since_ms ?? 0
  t.ok(since > beforeMs - 10_000 && since <= Date.now())
  // It may have come before the problem, and comes once.
  await client.first<Fleet>('fleet', ({ points, database }) => points['waiting'] === 1 && database.error !== null, 0)
  const from = client.events.length
  await postgres.start()
  await client.first<Problem[]>('problems', (now) => !isAway(now), from)
  await client.first<Fleet>('fleet', ({ points, database }) => points['waiting'] === 0 && database.state === 'up', from)
})
