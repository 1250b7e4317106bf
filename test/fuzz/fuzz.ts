/**
 * Sends many mutated bodies, packets and raw requests to a real server, from a seed, and says what is wrong:
 *
 *   a process ended, a 5xx that is none of the operating errors, an answer that is no HTTP or no JSON of ours,
 *   points that were accepted and not stored, rows that nobody sent or twice, points stored that were refused, memory beyond a
 *   bound, or one request or packet that costs more than a bound of processor time (measured for groups, and for the members of a
 *   group that is over it).
 *
 * What is sent comes in rounds; after each the database is held against what was sent, and emptied.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, Pool } from 'undici'
import { connect as connectDatabase } from '../../lib/database/connection.js'
import { METRICS } from '../../protocol/metrics.js'
import { conservationErrorPoints, drained, type Health } from '../support/health.js'
import type { Owner } from '../support/owner.js'
import { answerFault, answersOf } from './answers.js'
import { dearBodies, dearPackets, type Dear } from './dear.js'
import { Inputs, type Body, type Raw } from './inputs.js'
import { ExpectedRows, keyOf, rowsOf } from './oracle.js'
import { COSTLY_LIMITS, each, RESIDENT_BYTES_MAX, Target } from './target.js'

/** Of one round at most. */
const ROUND = { bodies: 25_000, packets: 25_000, raw: 5_000 } as const
const GROUP = 60
const PACKET_GROUP = 200
const CONNECTIONS = 16
/** A raw request that is not answered is given up: the head may be unfinished. */
const SILENCE_MS = 100
const TRIES = 5
/** Of input that is known to be dear: V8 compiles what it needs for it meanwhile. */
const DEAR_TRIES = 12
const SETTLE_MS = 1_000
const FAULTS_MAX = 20
const ROWS_AT_ONCE = 20_000

/** Number of each. */
export interface Counts {
  readonly bodies: number
  readonly packets: number
  readonly raw: number
}

export interface FuzzOptions extends Counts {
  readonly engine: 'uws' | 'node'
  readonly seed: number
  /** No round begins later, whatever the counts are. */
  readonly minutes?: number
  /** Processor time of one request or packet at most, in milliseconds, the least of several tries. */
  readonly cpuMsMax: number
  readonly print: (line: string) => void
}

export async function fuzz (owner: Owner, options: FuzzOptions): Promise<string[]> {
  const target = await Target.start(owner, options.engine)
  await target.setLimits(COSTLY_LIMITS)
  const run = new Run(target, options)
  owner.teardown(async () => { await run.close() })
  return await run.run()
}

/** A kind of input: how a group of it is sent, until all of it is done with. */
interface Kind<T> {
  readonly name: string
  readonly groupSize: number
  make (): T
  send (group: readonly T[]): Promise<void>
  /** The same once more, at the cost of the first time. */
  anew (one: T): T
  bytesOf (one: T): Buffer
}

class Run {
  private readonly nowMs = Date.now()
  private readonly inputs: Inputs
  private readonly pool: Pool
  private readonly udp: UdpSocket = createSocket('udp4')
  private readonly faults: string[] = []
  private readonly expected = new ExpectedRows()
  private acknowledged = 0
  private stored = 0
  private dearestMs = 0

  private readonly kinds = {
    bodies: this.kind<Body>('bodies', GROUP, () => this.inputs.body(), async (group) => { await each(group, CONNECTIONS, async (body) => { await this.sendBody(body) }) }, ({ bytes }) => bytes),
    packets: this.kind<Buffer>('packets', PACKET_GROUP, () => this.inputs.packet(), async (group) => { await this.sendPackets(group) }, (packet) => packet, (packet) => this.inputs.anew(packet)),
    raw: this.kind<Raw>('raw requests', GROUP, () => this.inputs.raw(), async (group) => { await each(group, CONNECTIONS * 4, async (raw) => { await this.sendRaw(raw) }) }, ({ bytes }) => bytes)
  }

  constructor (private readonly target: Target, private readonly options: FuzzOptions) {
    this.inputs = new Inputs(options.seed, this.nowMs)
    this.pool = new Pool(target.ingest.url, { connections: CONNECTIONS, pipelining: 1 })
  }

  async close (): Promise<void> {
    this.udp.close()
    await this.pool.destroy()
  }

  async run (): Promise<string[]> {
    const { print, engine, seed, minutes = Infinity } = this.options
    print(`${engine}, seed ${seed}`)
    const startedMs = performance.now()
    const left = { bodies: this.options.bodies, packets: this.options.packets, raw: this.options.raw }
    const sent = { bodies: 0, packets: 0, raw: 0 }
    await this.dearest('body', dearBodies(this.nowMs, engine === 'uws' ? 0 : 1), async (body) => { await this.sendBody(body, true) }, ({ bytes }) => bytes)
    if (this.acknowledged === 0) this.fault('none of the dearest bodies was accepted')
    await this.dearest('packet', dearPackets(this.nowMs), async (packet) => { await this.sendPackets([packet]) }, (packet) => packet)
    await this.compare()
    while (Math.max(left.bodies, left.packets, left.raw) > 0 && this.faults.length < FAULTS_MAX && performance.now() - startedMs < minutes * 60_000) {
      for (const name of ['bodies', 'packets', 'raw'] as const) {
        const count = Math.min(ROUND[name], left[name])
        await this.inGroups<unknown>(this.kinds[name], count)
        left[name] -= count
        sent[name] += count
      }
      await this.compare()
      print(`${engine}: ${sent.bodies} bodies, ${sent.packets} packets, ${sent.raw} raw requests in ${((performance.now() - startedMs) / 1000).toFixed(0)} s; ` +
        `${this.acknowledged} points acknowledged, ${this.stored} stored; ${this.dearestMs.toFixed(0)} ms of processor time at most, ${Math.round(this.target.residentBytes() / 1024 / 1024)} MB`)
    }
    if (this.target.residentBytes() > RESIDENT_BYTES_MAX) this.fault(`a process took ${this.target.residentBytes()} bytes of memory`)
    return this.faults
  }

  private kind<T> (name: string, groupSize: number, make: () => T, send: Kind<T>['send'], bytesOf: (one: T) => Buffer, anew = (one: T): T => one): Kind<T> {
    return { name, groupSize, make, send, bytesOf, anew }
  }

  /** What is known to be dear, each by itself. */
  private async dearest<T> (what: string, all: ReadonlyArray<Dear<T>>, send: (one: T) => Promise<void>, bytesOf: (one: T) => Buffer): Promise<void> {
    for (const { name, make } of all) {
      let leastMs = Infinity
      for (let tries = 0; tries < DEAR_TRIES && leastMs > this.options.cpuMsMax / 2; tries++) {
        const one = make()
        leastMs = Math.min(leastMs, await this.cost(async () => { await send(one) }))
      }
      this.weigh(leastMs, `${what}: ${name}`, () => bytesOf(make()))
    }
  }

  private weigh (leastMs: number, what: string, bytes: () => Buffer): void {
    this.dearestMs = Math.max(this.dearestMs, leastMs)
    if (leastMs > this.options.cpuMsMax / 2) this.options.print(`${this.options.engine}: ${leastMs.toFixed(0)} ms of processor time: ${what}`)
    if (leastMs > this.options.cpuMsMax) this.fault(`${leastMs.toFixed(0)} ms of processor time: ${what}`, bytes())
    this.seeAlive(what, bytes)
  }

  private seeAlive (what: string, ...bytes: ReadonlyArray<() => Buffer>): void {
    const deaths = this.target.deaths()
    if (deaths.length === 0) return
    this.fault(`${deaths.join('; ')}: ${what}`, ...bytes.map((make) => make()))
    throw new Error(this.faults.join('\n'))
  }

  private async inGroups<T> (kind: Kind<T>, count: number): Promise<void> {
    for (let sent = 0; sent < count && this.faults.length < FAULTS_MAX; sent += kind.groupSize) {
      const group = Array.from({ length: Math.min(kind.groupSize, count - sent) }, () => kind.make())
      if (await this.cost(async () => { await kind.send(group) }) > this.options.cpuMsMax) await this.alone(kind, group)
      this.seeAlive(`in this group of ${kind.name}`, ...group.map((one) => () => kind.bytesOf(one)))
    }
  }

  /** Which of a dear group it was. */
  private async alone<T> (kind: Kind<T>, group: readonly T[]): Promise<void> {
    for (const one of group) {
      let leastMs = Infinity
      for (let tries = 0; tries < TRIES && leastMs > this.options.cpuMsMax / 2; tries++) leastMs = Math.min(leastMs, await this.cost(async () => { await kind.send([kind.anew(one)]) }))
      this.weigh(leastMs, kind.name, () => kind.bytesOf(one))
    }
  }

  private async cost (work: () => Promise<void>): Promise<number> {
    const beforeMs = this.target.cpuMs()
    await work()
    return this.target.cpuMs() - beforeMs
  }

  /** @param isAlone on a connection of its own: making it took so long that the server may have closed those of the pool */
  private async sendBody (body: Body, isAlone = false): Promise<void> {
    const { statusCode, body: answer } = await (isAlone ? new Client(this.target.ingest.url) : this.pool).request({
      reset: isAlone, method: 'POST', path: body.path, headers: { 'content-type': body.contentType, ...body.gzip ? { 'content-encoding': 'gzip' } : {} }, body: body.bytes
    })
    const text = await answer.text()
    const fault = answerFault({ status: statusCode, body: text, isTyped: true }, false)
    if (fault !== null) this.fault(`${fault}: ${text}`, body.bytes)
    if (statusCode === 202) this.expect(body, text)
  }

  private expect ({ format, path, plain, bytes }: Body, answer: string): void {
    const points = path === '/telemetry' ? 1 : (JSON.parse(answer) as { count: number }).count
    this.acknowledged += points
    const rows = rowsOf(format, plain)
    if (rows?.length === points) this.expected.mustBe(rows)
    else this.fault(`${points} points accepted where ${rows === null ? 'no decoder takes it' : `${rows.length} are`}`, bytes)
  }

  private async sendPackets (group: readonly Buffer[]): Promise<void> {
    for (const [index, packet] of group.entries()) {
      this.expected.mayBe(rowsOf('msgpack', packet) ?? [])
      await new Promise<void>((resolve) => { this.udp.send(packet, this.target.udpPort, '127.0.0.1', () => resolve()) })
      if (index % 100 === 99) await this.target.packetsRead()
    }
    await this.target.packetsRead()
  }

  /** What was answered with 202 is stored, what was refused is not; behind silence, anything. */
  private async sendRaw ({ bytes, requests, body }: Raw): Promise<void> {
    const parserSpeaks = this.options.engine === 'uws'
    const text = await this.exchange(bytes)
    const answers = answersOf(text)
    const fault = answers === null ? 'an answer that is no HTTP' : answers.map((answer) => answerFault(answer, parserSpeaks)).find((fault) => fault !== null)
    if (typeof fault === 'string') this.fault(`${fault}: ${JSON.stringify(text.slice(0, 500))}`, bytes)
    const accepted = answers?.filter(({ status }) => status === 202).length ?? 0
    this.acknowledged += accepted
    const rows = Array.from({ length: requests }, () => rowsOf('json', body)?.[0] ?? '')
    this.expected.mustBe(rows.slice(0, accepted))
    // Where there is one request and it is refused, nothing is stored.
    if (requests > 1 || (answers?.at(-1)?.status ?? 0) < 400) this.expected.mayBe(rows.slice(accepted))
  }

  private async exchange (bytes: Buffer): Promise<string> {
    return await new Promise<string>((resolve) => {
      let text = ''
      const socket = connect(this.target.port, '127.0.0.1')
      const end = (): void => {
        socket.destroy()
        resolve(text)
      }
      socket.setTimeout(SILENCE_MS, end)
      socket.on('data', (chunk: Buffer) => { text += chunk.toString('latin1') })
      socket.on('error', end)
      socket.on('close', end)
      // Half of them as senders do that write no more.
      if (bytes.length % 2 === 0) socket.end(bytes)
      else socket.write(bytes)
    })
  }

  /** The database against what was sent. */
  private async compare (): Promise<void> {
    const health = await this.quiet()
    const unexplained = await conservationErrorPoints(this.target.ingest.url)
    if (unexplained !== 0) this.fault(`the counters leave ${unexplained} points unexplained`)
    const db = await connectDatabase(this.target.postgres.url, { applicationName: 'fuzz', connectTimeoutMs: 5_000 })
    await db.query(`BEGIN; DECLARE all_rows CURSOR FOR SELECT satellite_id AS id, (extract(epoch FROM "time") * 1000000)::bigint::text AS micros, ARRAY[${METRICS.map(({ name }) => name).join()}] AS values FROM telemetry`)
    for (;;) {
      const fetched = await db.query<{ id: string, micros: string, values: unknown[] }>(`FETCH ${ROWS_AT_ONCE} FROM all_rows`)
      if (fetched.rows.length === 0) break
      this.stored += fetched.rows.length
      for (const { id, micros, values } of fetched.rows) {
        const row = keyOf(id, micros, values)
        if (!this.expected.take(row)) this.fault(`a row that nobody sent, or not so often: ${JSON.stringify(row)}`)
      }
    }
    await db.query('COMMIT; TRUNCATE telemetry, anomalies')
    await db.close()
    for (const row of this.expected.end()) this.fault(`accepted and not stored: ${JSON.stringify(row)}`)
    const accepted = health.points['accepted'] ?? NaN
    if (this.stored !== accepted) this.fault(`${accepted} points accepted, ${this.stored} rows`)
    if (accepted < this.acknowledged) this.fault(`${this.acknowledged} points acknowledged, ${accepted} counted`)
  }

  /** When all is stored, and what was sent last is counted: answers of /health are some hundred ms old. */
  private async quiet (): Promise<Health> {
    for (let before = await drained(this.target.ingest.url); ;) {
      await delay(SETTLE_MS)
      const now = await drained(this.target.ingest.url)
      if (now.points['accepted'] === before.points['accepted']) return now
      before = now
    }
  }

  /** Says what is wrong, and where the input was saved. */
  private fault (what: string, ...inputs: readonly Buffer[]): void {
    if (this.faults.length >= FAULTS_MAX) return
    const directory = inputs.length === 0 ? null : mkdtempSync(join(tmpdir(), 'orbitstream-fuzz-'))
    inputs.forEach((bytes, at) => { writeFileSync(join(String(directory), `${at}.bin`), bytes) })
    this.faults.push(`${this.options.engine}, seed ${this.options.seed}: ${what.slice(0, 2_000)}${directory === null ? '' : `; input in ${directory}`}`)
  }
}
