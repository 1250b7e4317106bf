/**
 * Ingest hosts of the cluster are killed and started again under load, one after the other, while senders know only
 * the balancers. What was acknowledged must be stored, and only the requests that were in flight may fail.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { Cluster, findClusterPrograms } from '../deploy/cluster.js'
import { eventually } from '../eventually.js'
import { conservationErrorPoints, drained, readHealth } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import { lanesDrained } from './log-rounds.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, type TestPostgres } from '../database/postgres.js'
import { withDatabase } from './verify.js'

/** A worker for HTTP and one for UDP. */
const LANES_PER_HOST = 2
const BACK_DEADLINE_MS = 60_000
const UDP_DEADLINE_MS = 60_000
/** Enough that each host has some. */
const UDP_SENDERS = 16
const UDP_INTERVAL_MS = 50

export interface HostKillsVerdict extends Verdict {
  readonly acknowledged: number
  /** Requests that were not acknowledged, by cause. */
  readonly failures: Readonly<Record<string, number>>
  /** Longest time without an acknowledgement. */
  readonly gapMs: number
  /** Acknowledged, on average. */
  readonly requestsPerSecond: number
  readonly conservationErrorPoints: number
}

export interface HostKillsOptions {
  readonly kills: number
  /** Single points over HTTP, beside packets of UDP. */
  readonly requestsPerSecond: number
  /** As many requests may be in flight. */
  readonly connections: number
  /** Called with a line per kill. */
  readonly print: (line: string) => void
}

/** What is left of lanes after hosts were killed and started again. */
export function hostLanes (kills: number): { readonly writers: number, readonly lost: number } {
  return { writers: 2 * LANES_PER_HOST, lost: kills * LANES_PER_HOST }
}

/** Kills hosts in turn. More requests than `kills` times `connections` must not fail. */
export async function runHostKills (
  owner: Owner, { kills, requestsPerSecond, connections, print }: HostKillsOptions
): Promise<HostKillsVerdict> {
  const programs = await findClusterPrograms()
  if (typeof programs === 'string') throw new Error(programs)
  const postgres = await startTestPostgres(owner, { fsync: true })
  const cluster = await Cluster.start(owner, programs, postgres.url)
  const client = new JournalClient({ url: cluster.url, pointsPerRequest: 1, connections })
  const udp = cluster.udpPort === null ? null : await UdpSenders.start(owner, cluster.udpPort)
  const startedMs = performance.now()
  client.start(requestsPerSecond)
  for (let kill = 1; kill <= kills; kill++) {
    await killAndRestart(cluster, kill % 2, [client], requestsPerSecond)
    await udp?.stored(postgres, `kill ${kill}`)
    const counts = `${client.acknowledged.size} requests acknowledged, ${failuresOf([client])} failed`
    print(`kill ${kill} of ${kills}: ${counts}; ` +
      `longest time without an acknowledgement ${Math.round(client.longestGapMs)} ms`)
  }
  udp?.stop()
  await client.stop()
  const seconds = (performance.now() - startedMs) / 1000
  await lanesDrained(postgres, hostLanes(kills))
  let errorPoints = 0
  for (const index of [0, 1]) {
    const { url, program } = cluster.host(index)
    await drained(url)
    errorPoints += await conservationErrorPoints(url)
    await program.stop()
  }
  return {
    ...await withDatabase(postgres, async (db) => await compareWithDatabase(db, [client])),
    acknowledged: client.acknowledged.size,
    failures: Object.fromEntries(client.failures),
    gapMs: client.longestGapMs,
    requestsPerSecond: client.acknowledged.size / seconds,
    conservationErrorPoints: errorPoints
  }
}

/** Kills a host, waits for acknowledgements of the other one, starts it, and waits until it accepts points again. */
export async function killAndRestart (
  cluster: Cluster, index: number, clients: readonly JournalClient[], pointsBetween: number
): Promise<void> {
  const more = async (): Promise<void> => {
    await Promise.all(clients.map(async (client) => { await client.acknowledgedMore(pointsBetween) }))
  }
  await more()
  await cluster.killHost(index)
  await more()
  await cluster.startHost(index)
  await eventually('the host accepts points again', BACK_DEADLINE_MS, async () =>
    ((await readHealth(cluster.host(index).url)).points['accepted'] ?? 0) > 0 ? true : undefined)
  await more()
}

/** How many requests were not acknowledged. */
export function failuresOf (clients: readonly JournalClient[]): number {
  return clients.reduce((sum, { failures }) => sum + [...failures.values()].reduce((all, count) => all + count, 0), 0)
}

/** Sends packets from several sockets until stop(), with a satellite for each socket. */
export class UdpSenders {
  /** The satellites' names begin with it. */
  private phase = 'first'
  private readonly epoch = Date.now() * 1000
  private readonly closers: Array<() => void> = []

  static async start (owner: Owner, port: number): Promise<UdpSenders> {
    const senders = new UdpSenders()
    for (let index = 0; index < UDP_SENDERS; index++) await senders.open(port, index)
    owner.teardown(() => { senders.stop() })
    return senders
  }

  /** Resolves when a point of this phase of each sender is stored. */
  async stored (postgres: TestPostgres, phase: string): Promise<void> {
    this.phase = phase
    await eventually(`points of all UDP senders are stored, ${phase}`, UDP_DEADLINE_MS, async () => {
      const { rows } = await withDatabase(postgres, async (db) => await db.query<{ count: number }>(`
        SELECT count(DISTINCT satellite_id)::int AS count FROM telemetry
        WHERE satellite_id LIKE $1 || '-UDP-%'`, [phase]))
      return rows[0]?.count === UDP_SENDERS ? true : undefined
    })
  }

  stop (): void {
    for (const close of this.closers.splice(0)) close()
  }

  private async open (port: number, index: number): Promise<void> {
    const socket = createSocket('udp4')
    // A host that was killed is reported as an error of the socket.
    socket.on('error', () => {})
    socket.connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const encoder = new PacketEncoder()
    let sequence = 0
    const timer = setInterval(() => {
      encoder.begin(`udp-${index}`, this.epoch, sequence++)
      encoder.add(`${this.phase}-UDP-${index}`, null, [50])
      socket.send(Buffer.from(encoder.finish()))
    }, UDP_INTERVAL_MS)
    this.closers.push(() => {
      clearInterval(timer)
      socket.close()
    })
  }
}
