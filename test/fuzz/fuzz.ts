/**
 * Sends many mutated bodies, packets and raw requests to a real server, from a seed, and says what is wrong:
 *
 *   a process ended, a 5xx that is none of the operating errors, an answer that is no HTTP or no JSON of ours,
 *   points that were accepted and not stored, rows that nobody sent, memory beyond a bound, or one request or packet
 *   that costs more than a bound of processor time (measured for groups, and for the members of a group that is over it).
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import { connect as connectDatabase } from '../../lib/store/db.js'
import { POINTS_MAX } from '../../protocol/columns.js'
import { METRICS } from '../../protocol/metrics.js'
import { conservationErrorPoints, drained, type Health } from '../support/health.js'
import type { Owner } from '../support/owner.js'
import { Inputs, RAW_BODY, type Body } from './inputs.js'
import { keyOf, rowsOf, withoutTime } from './oracle.js'
import { each, RESIDENT_BYTES_MAX, Target } from './target.js'

const GROUP = 60
const PACKET_GROUP = 200
const CONNECTIONS = 16
/** A raw request that is not answered is given up: the head may be unfinished. */
const SILENCE_MS = 100
const TRIES = 5
const SETTLE_MS = 1_000
/** Of raw requests: 501 names what is not implemented, 505 is what uWebSockets.js says of heads that it does not read. */
const RAW_STATUSES = /^HTTP\/1\.[01] (?:[1-4]\d\d|501|503|505) /
const FAULTS_MAX = 20
const ROWS_AT_ONCE = 20_000

export interface FuzzOptions {
  readonly engine: 'uws' | 'node'
  readonly seed: number
  readonly bodies: number
  readonly packets: number
  readonly raw: number
  /** Processor time of one request or packet at most, in milliseconds, the least of several tries. */
  readonly cpuMsMax: number
  readonly print: (line: string) => void
}

export async function fuzz (owner: Owner, options: FuzzOptions): Promise<string[]> {
  const target = await Target.start(owner, options.engine)
  const run = new Run(target, options)
  owner.teardown(async () => { await run.close() })
  return await run.run()
}

class Run {
  private readonly nowMs = Date.now()
  private readonly inputs: Inputs
  private readonly pool: Pool
  private readonly udp: UdpSocket = createSocket('udp4')
  private readonly faults: string[] = []
  /** Rows that must be there, and how often. */
  private readonly due = new Map<string, number>()
  /** Rows that may be there: of packets, and of points whose time is not known. */
  private readonly possible = new Set<string>()
  private accepted = 0
  private dearestMs = 0

  constructor (private readonly target: Target, private readonly options: FuzzOptions) {
    this.inputs = new Inputs(options.seed, this.nowMs)
    this.pool = new Pool(target.ingest.url, { connections: CONNECTIONS, pipelining: 1 })
  }

  async close (): Promise<void> {
    this.udp.close()
    await this.pool.destroy()
  }

  async run (): Promise<string[]> {
    const { bodies, packets, raw, print, engine, seed } = this.options
    print(`${engine}, seed ${seed}`)
    await this.largest()
    await this.inGroups('bodies', bodies, GROUP, () => this.inputs.body(), async (group) => { await each(group, CONNECTIONS, async (body) => { await this.sendBody(body) }) }, ({ bytes }) => bytes)
    await this.inGroups('packets', packets, PACKET_GROUP, () => this.inputs.packet(), async (group) => { await this.sendPackets(group) }, (packet) => packet)
    await this.inGroups('raw requests', raw, GROUP, () => this.inputs.raw(), async (group) => { await each(group, CONNECTIONS * 4, async (bytes) => { await this.sendRaw(bytes) }) }, (bytes) => bytes)
    await this.compare()
    const megabytes = Math.round(this.target.residentBytes() / 1024 / 1024)
    print(`${engine}: ${this.accepted} points of bodies accepted; the dearest group's member took ${this.dearestMs.toFixed(1)} ms; ${megabytes} MB at most`)
    if (this.target.residentBytes() > RESIDENT_BYTES_MAX) this.fault(`a worker took ${megabytes} MB`)
    return this.faults
  }

  /** The largest bodies that are taken cost no more than any other. */
  private async largest (): Promise<void> {
    for (const body of this.inputs.largest()) {
      let leastMs = Infinity
      for (let tries = 0; tries < TRIES; tries++) leastMs = Math.min(leastMs, await this.cost(async () => { await this.sendBody(body) }))
      this.options.print(`${this.options.engine}: ${POINTS_MAX} points of ${body.format}, ${body.plain.length} bytes${body.gzip ? ' with gzip' : ''}: ${leastMs.toFixed(0)} ms`)
      if (leastMs > this.options.cpuMsMax) this.fault(`${leastMs.toFixed(0)} ms of processor time for the largest body`, body.bytes.subarray(0, 100))
    }
    if (this.accepted === 0) this.fault('none of the largest bodies was accepted')
  }

  /** @param what for people @param send a group, until all of it is done with */
  private async inGroups<T> (what: string, count: number, size: number, make: () => T, send: (group: readonly T[]) => Promise<void>, bytesOf: (one: T) => Buffer): Promise<void> {
    const startedMs = performance.now()
    for (let sent = 0; sent < count && this.faults.length < FAULTS_MAX; sent += size) {
      const group = Array.from({ length: Math.min(size, count - sent) }, make)
      if (await this.cost(async () => { await send(group) }) > this.options.cpuMsMax) {
        for (const one of group) {
          let leastMs = Infinity
          for (let tries = 0; tries < TRIES && leastMs > this.options.cpuMsMax / 4; tries++) leastMs = Math.min(leastMs, await this.cost(async () => { await send([one]) }))
          this.dearestMs = Math.max(this.dearestMs, leastMs)
          if (leastMs > this.options.cpuMsMax) this.fault(`${leastMs.toFixed(0)} ms of processor time`, bytesOf(one))
        }
      }
      const deaths = this.target.deaths()
      if (deaths.length > 0) {
        this.fault(`${deaths.join('; ')} in this group of ${what}`, ...group.map(bytesOf))
        throw new Error(this.faults.join('\n'))
      }
    }
    this.options.print(`${this.options.engine}: ${count} ${what} in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`)
  }

  private async cost (work: () => Promise<void>): Promise<number> {
    const beforeMs = this.target.cpuMs()
    await work()
    return this.target.cpuMs() - beforeMs
  }

  private async sendBody (body: Body): Promise<void> {
    const { statusCode, body: answer } = await this.pool.request({
      method: 'POST', path: body.path, headers: { 'content-type': body.contentType, ...body.gzip ? { 'content-encoding': 'gzip' } : {} }, body: body.bytes
    })
    const text = await answer.text()
    if (statusCode === 202) this.expect(body, text)
    else if (statusCode >= 500 && statusCode !== 503) this.fault(`${statusCode}: ${text}`, body.bytes)
    else if (!/^\{"error":\{"code":"[a-z_]+","message":/.test(text)) this.fault(`an answer in another style: ${text}`, body.bytes)
  }

  private expect ({ format, path, plain, bytes }: Body, answer: string): void {
    const points = path === '/telemetry' ? 1 : (JSON.parse(answer) as { count: number }).count
    this.accepted += points
    const rows = rowsOf(format, plain)
    if (rows?.length !== points) {
      this.fault(`${points} points accepted where ${rows === null ? 'no decoder takes it' : `${rows.length} are`}`, bytes)
      return
    }
    for (const row of rows) {
      if (withoutTime(row) === row) this.possible.add(row)
      else this.due.set(row, (this.due.get(row) ?? 0) + 1)
    }
  }

  private async sendPackets (group: readonly Buffer[]): Promise<void> {
    for (const [index, packet] of group.entries()) {
      for (const row of rowsOf('msgpack', packet) ?? []) {
        this.possible.add(row)
        this.possible.add(withoutTime(row))
      }
      await new Promise<void>((resolve) => { this.udp.send(packet, this.target.udpPort, '127.0.0.1', () => resolve()) })
      if (index % 100 === 99) await this.target.packetsRead()
    }
    await this.target.packetsRead()
  }

  private async sendRaw (bytes: Buffer): Promise<void> {
    const answer = await new Promise<string>((resolve) => {
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
    if (answer !== '' && !RAW_STATUSES.test(answer)) this.fault(`the answer ${JSON.stringify(answer.slice(0, 200))}`, bytes)
  }

  /** The database against what was sent. */
  private async compare (): Promise<void> {
    const health = await this.quiet()
    const unexplained = await conservationErrorPoints(this.target.ingest.url)
    if (unexplained !== 0) this.fault(`the counters leave ${unexplained} points unexplained`)
    const raw = RAW_BODY(this.nowMs)
    this.possible.add(rowsOf('json', raw)?.[0] ?? '')
    const db = await connectDatabase(this.target.postgres.url, { applicationName: 'fuzz', connectTimeoutMs: 5_000 })
    let rows = 0
    await db.query(`BEGIN; DECLARE all_rows CURSOR FOR SELECT satellite_id AS id, (extract(epoch FROM "time") * 1000000)::bigint::text AS micros, ARRAY[${METRICS.map(({ name }) => name).join()}] AS values FROM telemetry`)
    for (;;) {
      const fetched = await db.query<{ id: string, micros: string, values: unknown[] }>(`FETCH ${ROWS_AT_ONCE} FROM all_rows`)
      if (fetched.rows.length === 0) break
      rows += fetched.rows.length
      for (const { id, micros, values } of fetched.rows) this.found(keyOf(id, micros, values))
    }
    await db.close()
    for (const [row, times] of this.due) this.fault(`accepted and not stored, ${times} times: ${JSON.stringify(row)}`)
    const accepted = health.points['accepted'] ?? NaN
    if (rows !== accepted) this.fault(`${accepted} points accepted, ${rows} rows`)
    if (accepted < this.accepted) this.fault(`${this.accepted} points acknowledged, ${accepted} counted`)
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

  private found (row: string): void {
    const times = this.due.get(row) ?? 0
    if (times > 1) this.due.set(row, times - 1)
    else if (times === 1) this.due.delete(row)
    else if (!this.possible.has(row) && !this.possible.has(withoutTime(row))) this.fault(`a row that nobody sent: ${JSON.stringify(row)}`)
  }

  private fault (what: string, ...inputs: readonly Buffer[]): void {
    if (this.faults.length < FAULTS_MAX) this.faults.push([what, ...inputs.map((bytes) => `  ${bytes.length} bytes, base64 ${bytes.subarray(0, 3_000).toString('base64')}`)].join('\n'))
  }
}
