/**
 * Sends seeded, mutated bodies, packets, raw requests and forgeries of authenticated packets to a real server, and
 * reports what goes wrong:
 *
 *   a process that died, a 5xx that is not an operating error, an answer that is not HTTP or not our JSON,
 *   points accepted but not stored, stored although refused, stored twice or never sent, a number of an authenticated
 *   sender that was changed by somebody else, memory above a limit, or one
 *   request or packet that costs more CPU time than a limit (measured for groups, and for each member of a group above
 *   it).
 *
 * Input is sent in rounds; after each one the database is compared with what was sent, and emptied.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client, Pool } from 'undici'
import { connect as connectDatabase } from '../../lib/database/connection.js'
import { METRICS } from '../support/points/built-in.js'
import { conservationErrorPoints, drained, type Health } from '../support/programs/health.js'
import type { Owner } from '../support/owner.js'
import { answerFault, answersOf } from './answers.js'
import { dearBodies, dearPackets, type Dear } from './dear.js'
import { dearForgery, Forgeries, HONEST, type Numbers } from './forged.js'
import { Inputs, type Body, type Raw } from './inputs.js'
import { ExpectedRows, keyOf, rowsOf } from './oracle.js'
import { COSTLY_LIMITS, each, RESIDENT_BYTES_MAX, Target } from './target.js'

/** Upper limits per round. */
const ROUND = { bodies: 25_000, packets: 25_000, raw: 5_000, forged: 100_000 } as const
const HONEST_PACKETS = 50
const GROUP = 60
const PACKET_GROUP = 200
const CONNECTIONS = 16
/** A raw request that gets no answer for this long is given up: its head may be incomplete. */
const SILENCE_MS = 100
const TRIES = 5
/** For input known to be costly: V8 gets time to compile the code for it. */
const DEAR_TRIES = 12
const SETTLE_MS = 1_000
const FAULTS_MAX = 20
const ROWS_AT_ONCE = 20_000

/** How many of each. */
export interface Counts {
  readonly bodies: number
  readonly packets: number
  readonly raw: number
  readonly forged: number
}

export interface FuzzOptions extends Counts {
  readonly engine: 'uws' | 'node'
  readonly seed: number
  /** No round starts later than this, whatever the counts. */
  readonly minutes?: number
  /** Limit on the CPU time of one request or packet in milliseconds, the lowest of several tries. */
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

/** A kind of input. */
interface Kind<T> {
  readonly name: string
  readonly groupSize: number
  make (): T
  /** Sends a group of it, and resolves when the server is done with it. */
  send (group: readonly T[]): Promise<void>
  /** The same input again, made to cost as much as the first time; without it: unchanged. */
  anew? (one: T): T
  bytesOf (one: T): Buffer
}

class Run {
  private readonly nowMs = Date.now()
  private readonly inputs: Inputs
  private readonly forgeries: Forgeries
  private readonly pool: Pool
  private readonly udp: UdpSocket = createSocket('udp4')
  private readonly faults: string[] = []
  private readonly expected = new ExpectedRows()
  private acknowledged = 0
  private stored = 0
  private dearestMs = 0

  private readonly bodies: Kind<Body> = {
    name: 'bodies',
    groupSize: GROUP,
    make: () => this.inputs.body(),
    send: async (group) => { await each(group, CONNECTIONS, async (body) => { await this.sendBody(body) }) },
    bytesOf: ({ bytes }) => bytes
  }

  private readonly packets: Kind<Buffer> = {
    name: 'packets',
    groupSize: PACKET_GROUP,
    make: () => this.inputs.packet(),
    send: async (group) => { await this.sendPackets(group) },
    bytesOf: (packet) => packet,
    anew: (packet) => this.inputs.anew(packet)
  }

  private readonly forged: Kind<Buffer> = {
    name: 'forged packets',
    groupSize: PACKET_GROUP,
    make: () => this.forgeries.forge(),
    send: async (group) => { await this.sendPackets(group) },
    bytesOf: (packet) => packet
  }

  private readonly raw: Kind<Raw> = {
    name: 'raw requests',
    groupSize: GROUP,
    make: () => this.inputs.raw(),
    send: async (group) => { await each(group, CONNECTIONS * 4, async (raw) => { await this.sendRaw(raw) }) },
    bytesOf: ({ bytes }) => bytes
  }

  constructor (private readonly target: Target, private readonly options: FuzzOptions) {
    this.inputs = new Inputs(options.seed, this.nowMs)
    this.forgeries = new Forgeries(options.seed, this.nowMs, (bytes) => this.inputs.changeBytes(bytes))
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
    const { bodies: bodyCount, packets: packetCount, raw, forged } = this.options
    const left = { bodies: bodyCount, packets: packetCount, raw, forged }
    const sent = { bodies: 0, packets: 0, raw: 0, forged: 0 }
    await this.sendHonest()
    this.forgeries.restart()
    const bodies = dearBodies(this.nowMs, engine === 'uws' ? 0 : 1)
    await this.dearest('body', bodies, async (body) => { await this.sendBody(body, true) }, ({ bytes }) => bytes)
    if (this.acknowledged === 0) this.fault('none of the costliest bodies was accepted')
    const packets = [...dearPackets(this.nowMs), dearForgery()]
    await this.dearest('packet', packets, async (packet) => { await this.sendPackets([packet]) }, (packet) => packet)
    await this.compare()
    const isOver = (): boolean => (
      this.faults.length >= FAULTS_MAX || performance.now() - startedMs >= minutes * 60_000)
    while (Math.max(...Object.values(left)) > 0 && !isOver()) {
      await this.sendHonest()
      for (const name of ['bodies', 'packets', 'raw', 'forged'] as const) {
        const count = Math.min(ROUND[name], left[name])
        await this.inGroups<unknown>(this[name], count)
        left[name] -= count
        sent[name] += count
      }
      await this.compare()
      await this.seeNumbers()
      const tookSeconds = ((performance.now() - startedMs) / 1000).toFixed(0)
      const residentMegabytes = Math.round(this.target.residentBytes() / 1024 / 1024)
      print(`${engine}: ${sent.bodies} bodies, ${sent.packets} packets, ${sent.raw} raw requests, ` +
        `${sent.forged} forgeries in ${tookSeconds} s; ` +
        `${this.acknowledged} points acknowledged, ${this.stored} stored; ` +
        `at most ${this.dearestMs.toFixed(0)} ms of CPU time, ${residentMegabytes} MB`)
    }
    const residentBytes = this.target.residentBytes()
    if (residentBytes > RESIDENT_BYTES_MAX) this.fault(`a process took ${residentBytes} bytes of memory`)
    return this.faults
  }

  /** Sends input known to be costly, one at a time. */
  private async dearest<T> (
    what: string, all: ReadonlyArray<Dear<T>>, send: (one: T) => Promise<void>, bytesOf: (one: T) => Buffer
  ): Promise<void> {
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
    const { cpuMsMax, engine, print } = this.options
    const message = `${leastMs.toFixed(0)} ms of CPU time: ${what}`
    if (leastMs > cpuMsMax / 2) print(`${engine}: ${message}`)
    if (leastMs > cpuMsMax) this.fault(message, bytes())
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

  /** Finds out which of a costly group it was. */
  private async alone<T> (kind: Kind<T>, group: readonly T[]): Promise<void> {
    // What was sent before is stored first, which costs CPU time too.
    await drained(this.target.ingest.url)
    for (const one of group) {
      let leastMs = Infinity
      for (let tries = 0; tries < TRIES && leastMs > this.options.cpuMsMax / 2; tries++) {
        leastMs = Math.min(leastMs, await this.cost(async () => { await kind.send([kind.anew?.(one) ?? one]) }))
      }
      this.weigh(leastMs, kind.name, () => kind.bytesOf(one))
    }
  }

  private async cost (work: () => Promise<void>): Promise<number> {
    const beforeMs = this.target.cpuMs()
    await work()
    return this.target.cpuMs() - beforeMs
  }

  /** @param isAlone on a separate connection: the server may close those of the pool while the body is made */
  private async sendBody (body: Body, isAlone = false): Promise<void> {
    const client = isAlone ? new Client(this.target.ingest.url) : this.pool
    const { statusCode, body: answer } = await client.request({
      reset: isAlone,
      method: 'POST',
      path: body.path,
      headers: { 'content-type': body.contentType, ...body.gzip ? { 'content-encoding': 'gzip' } : {} },
      body: body.bytes
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
    else this.fault(`${points} points accepted, the oracle reads ${rows === null ? 'none' : rows.length}`, bytes)
  }

  private async sendPackets (group: readonly Buffer[]): Promise<void> {
    for (const [index, packet] of group.entries()) {
      this.expected.mayBe(rowsOf('msgpack', packet) ?? [])
      await new Promise<void>((resolve) => { this.udp.send(packet, this.target.udpPort, '127.0.0.1', () => resolve()) })
      if (index % 100 === 99) await this.target.packetsRead()
    }
    await this.target.packetsRead()
  }

  /** Packets of the sender with a key, all of which must be stored. */
  private async sendHonest (): Promise<void> {
    for (const { packet, row } of this.forgeries.honest(HONEST_PACKETS)) {
      await this.sendPackets([packet])
      this.expected.mustBe([row])
      this.acknowledged++
    }
  }

  /** The numbers of that sender are those of its own packets. */
  private async seeNumbers (): Promise<void> {
    const response = await fetch(`${this.target.ingest.url}/udp/senders?sender=${HONEST}`)
    const { senders } = await response.json() as { senders: Array<Numbers & { key: string | null }> }
    const known = senders.filter(({ key }) => key !== null)
    const { numbers } = this.forgeries
    const isSame = known.length === 1 && Object.entries(numbers).every(([name, value]) => (
      known[0]?.[name as keyof Numbers] === value))
    if (!isSame) this.fault(`the sender must have ${JSON.stringify(numbers)}, not ${JSON.stringify(known)}`)
  }

  /** What was answered with 202 is stored, what was refused is not; without an answer, either may be. */
  private async sendRaw ({ bytes, requests, body }: Raw): Promise<void> {
    const parserSpeaks = this.options.engine === 'uws'
    const text = await this.exchange(bytes)
    const answers = answersOf(text)
    const fault = answers === null
      ? 'an answer that is not HTTP'
      : answers.map((answer) => answerFault(answer, parserSpeaks)).find((fault) => fault !== null)
    if (typeof fault === 'string') this.fault(`${fault}: ${JSON.stringify(text.slice(0, 500))}`, bytes)
    const accepted = answers?.filter(({ status }) => status === 202).length ?? 0
    this.acknowledged += accepted
    const rows = Array.from({ length: requests }, () => rowsOf('json', body)?.[0] ?? '')
    this.expected.mustBe(rows.slice(0, accepted))
    // A single request that was refused must not be stored.
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
      // Half of them end the stream, like senders that write nothing more.
      if (bytes.length % 2 === 0) socket.end(bytes)
      else socket.write(bytes)
    })
  }

  /** Compares the database with what was sent. */
  private async compare (): Promise<void> {
    const health = await this.quiet()
    const unexplained = await conservationErrorPoints(this.target.ingest.url)
    if (unexplained !== 0) this.fault(`the counters leave ${unexplained} points unexplained`)
    const db = await connectDatabase(this.target.postgres.url, { applicationName: 'fuzz', connectTimeoutMs: 5_000 })
    await db.query(`BEGIN; DECLARE all_rows CURSOR FOR
      SELECT satellite_id AS id, (extract(epoch FROM "time") * 1000000)::bigint::text AS micros,
             ARRAY[${METRICS.map(({ name }) => name).join()}] AS values
      FROM telemetry`)
    for (;;) {
      const fetched = await db.query<{ id: string, micros: string, values: unknown[] }>(
        `FETCH ${ROWS_AT_ONCE} FROM all_rows`)
      if (fetched.rows.length === 0) break
      this.stored += fetched.rows.length
      for (const { id, micros, values } of fetched.rows) {
        const row = keyOf(id, micros, values)
        if (!this.expected.take(row)) this.fault(`a row never sent, or stored too often: ${JSON.stringify(row)}`)
      }
    }
    await db.query('COMMIT; TRUNCATE telemetry, anomalies')
    await db.close()
    for (const row of this.expected.end()) this.fault(`accepted but not stored: ${JSON.stringify(row)}`)
    const accepted = health.points['accepted'] ?? NaN
    if (this.stored !== accepted) this.fault(`${accepted} points accepted, ${this.stored} rows`)
    if (accepted < this.acknowledged) this.fault(`${this.acknowledged} points acknowledged, ${accepted} counted`)
  }

  /** Waits until everything is stored and counted: answers of /health may be some hundred ms old. */
  private async quiet (): Promise<Health> {
    for (let before = await drained(this.target.ingest.url); ;) {
      await delay(SETTLE_MS)
      const now = await drained(this.target.ingest.url)
      if (now.points['accepted'] === before.points['accepted']) return now
      before = now
    }
  }

  /** Records a fault, and where its input was saved. */
  private fault (what: string, ...inputs: readonly Buffer[]): void {
    if (this.faults.length >= FAULTS_MAX) return
    const directory = inputs.length === 0 ? null : mkdtempSync(join(tmpdir(), 'orbitstream-fuzz-'))
    inputs.forEach((bytes, at) => { writeFileSync(join(String(directory), `${at}.bin`), bytes) })
    const where = directory === null ? '' : `; input in ${directory}`
    this.faults.push(`${this.options.engine}, seed ${this.options.seed}: ${what.slice(0, 2_000)}${where}`)
  }
}
