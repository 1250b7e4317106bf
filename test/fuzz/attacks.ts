/**
 * Attacks on a running server, each until the parent disconnects. Runs as a child process so that an attacker's work
 * does not delay the honest client.
 */
import { createSocket } from 'node:dgram'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Packr } from 'msgpackr'
import { Pool } from 'undici'
import { POINTS_MAX } from '../../protocol/columns.js'
import { METRICS } from '../support/points/built-in.js'
import { COSTLY_LIMITS } from './target.js'

const packr = new Packr({ useRecords: false })
const METRIC = METRICS[0].name
/** Concurrent requests of the attacker. */
const AT_ONCE = 1
const COMMITS_AT_ONCE = 500
const SLOW_CONNECTIONS = 5_000
const DRIP_MS = 2_000
/** As many as are cut off after ten seconds: thousands at once delay new connections, whatever they send. */
const OPENED_PER_SECOND = 500
/** More than the machine can take starves everybody whatever it contains: this tests what a packet costs. */
const PACKETS_PER_SECOND = 2_000
const LARGE_PACKETS_PER_SECOND = 50
const TURN_MS = 20
const IDS_A_PACKET = 850
const CHUNKS = 1_000_000

interface Shot {
  readonly path: string
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer
}

/** The attack during which the database is stopped. */
export const WITHOUT_DATABASE = 'waiting for commits'
const gzip = { 'content-encoding': 'gzip' }
const msgpack = { 'content-type': 'application/msgpack' }

/** A msgpack array with this many copies of some bytes. */
function manyOf (count: number, bytes: readonly number[]): Buffer {
  const head = Buffer.from([0xdd, 0, 0, 0, 0])
  head.writeUInt32BE(count, 1)
  return Buffer.concat([head, Buffer.alloc(count * bytes.length, Buffer.from(bytes))])
}

const frameOf = (rows: Buffer): Buffer => Buffer.concat([Buffer.from([0x95, 1, 0xa1, 0x73, 1, 1]), rows])
const bodyOf = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const manyKeys = (): string => Array.from({ length: 500_000 }, (_, at) => `"k${at}":1`).join()
let nextId = 0
const freshIds = (count: number): string[] => Array.from({ length: count }, () => `new-${nextId++}`)

const SHOTS: Readonly<Record<string, () => readonly Shot[]>> = {
  'rows that grow with their anomalies': () => [POINTS_MAX, 483_000].map((rows) => {
    const body = gzipSync(frameOf(manyOf(rows, [0x93, 0xa1, 0x61, 0xc0, 0x01])))
    return { path: '/telemetry/batch', headers: { ...gzip, ...msgpack }, body }
  }),
  'empty objects': () => [{
    path: '/telemetry/batch', headers: gzip, body: gzipSync(`[${'{},'.repeat(2_700_000)}{}]`)
  }],
  'half a million keys': () => [{
    path: '/telemetry', body: Buffer.from(`{${manyKeys()}}`)
  }],
  'half a million keys in a batch': () => [{ path: '/telemetry/batch', body: Buffer.from(`[{${manyKeys()}}]`) }],
  'limit changes that change nothing': () => [{ path: `/limits/${METRIC}`, method: 'PATCH', body: Buffer.from('{}') }],
  [WITHOUT_DATABASE]: () => [{ path: '/telemetry?ack=committed', body: bodyOf({ satellite_id: 'A', [METRIC]: 50 }) }],
  'status queries': () => ['/health', '/metrics', '/anomalies', '/udp/senders?limit=1000'].map((path) => (
    { path, method: 'GET' })),
  'ever new satellites': () => [{
    path: '/telemetry/batch',
    get body () { return bodyOf(freshIds(5_000).map((id) => ({ satellite_id: id, [METRIC]: 50 }))) }
  }]
}

function absurdPacket (at: number): Buffer {
  const [epoch, seq] = at % 2 === 0 ? [2 ** 53 - 1 - at, at] : [1, 2 ** 53 - 1 - at]
  return packr.pack([1, 'honest', epoch, seq, [['SAT', null, 1]]])
}

function packetOfNewIds (): Buffer {
  return packr.pack([1, 's', 1, nextId, freshIds(IDS_A_PACKET).map((id) => [id, null, 50])])
}

/** Attacks other than repeated requests. */
const OTHERS: Readonly<Record<string, (url: URL, udpPort: number) => Promise<void>>> = {
  'slow connections': holdConnections,
  'a byte a chunk': sendChunks,
  'packets with absurd numbers': async (_, port) => await sendPackets(port, PACKETS_PER_SECOND, absurdPacket),
  'costly limits and packets of new ids': async (url, port) => {
    const { ok } = await fetch(new URL('/limits', url), {
      method: 'PUT',
      headers: { 'if-match': '*', 'content-type': 'application/json' },
      body: JSON.stringify(COSTLY_LIMITS)
    })
    if (!ok) throw new Error('the limits were refused')
    await sendPackets(port, LARGE_PACKETS_PER_SECOND, packetOfNewIds)
  }
}

export const ATTACKS: readonly string[] = [...Object.keys(SHOTS), ...Object.keys(OTHERS)]
async function shoot (url: URL, shots: readonly Shot[], connections: number): Promise<void> {
  const pool = new Pool(url.origin, { connections })
  await Promise.all(Array.from({ length: connections }, async (_, lane) => {
    for (let at = lane; ; at++) {
      const { path, method = 'POST', headers = {}, body } = shots[at % shots.length] as Shot
      const answer = pool.request({ path, method, headers, ...body === undefined ? {} : { body } })
      await answer.then(async ({ body }) => { await body.dump() }, async () => { await delay(10) })
    }
  }))
}

/** Heads that never end; closed connections are reopened. */
async function holdConnections (url: URL): Promise<void> {
  const sockets = new Set<Socket>()
  setInterval(() => {
    for (const socket of sockets) if (socket.readyState === 'open') socket.write('X: y\r\n')
  }, DRIP_MS)
  for (;;) {
    for (let more = OPENED_PER_SECOND * TURN_MS / 1_000; more > 0 && sockets.size < SLOW_CONNECTIONS; more--) {
      const socket = connect(Number(url.port), url.hostname)
      socket.once('connect', () => { socket.write('POST /telemetry HTTP/1.1\r\nHost: x\r\n') })
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
      sockets.add(socket)
    }
    await delay(TURN_MS)
  }
}

/** One body after another. */
async function sendChunks (url: URL): Promise<void> {
  const head = 'POST /telemetry/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
  const body = Buffer.from(head + '1\r\n \r\n'.repeat(CHUNKS))
  for (;;) {
    const socket = connect(Number(url.port), url.hostname)
    const over = new Promise<void>((resolve) => { socket.once('close', () => resolve()) })
    socket.on('error', () => {})
    socket.once('data', () => socket.destroy())
    socket.write(body)
    await over
  }
}

async function sendPackets (port: number, perSecond: number, packet: (at: number) => Buffer): Promise<void> {
  const socket = createSocket('udp4')
  const perTurn = perSecond * TURN_MS / 1_000
  for (let at = 0; ; at += perTurn) {
    for (let more = 0; more < perTurn; more++) socket.send(packet(at + more), port, '127.0.0.1')
    await delay(TURN_MS)
  }
}

const [name = '', address = '', udpPort = ''] = process.argv.slice(2)
if (process.send !== undefined) {
  process.once('disconnect', () => process.exit())
  const url = new URL(address)
  const shots = SHOTS[name]
  if (shots === undefined) await OTHERS[name]?.(url, Number(udpPort))
  else await shoot(url, shots(), name === WITHOUT_DATABASE ? COMMITS_AT_ONCE : AT_ONCE)
}
