/** What the endpoints report about UDP. */
import { request } from 'undici'
import { eventually } from '../eventually.js'
import { readHealth, type Health } from './health.js'

type UdpCount = 'packets' | 'taken' | 'points' | 'shed' | 'shed_points' | 'gaps' | 'late' | 'missing' | 'duplicates' |
  'stale' | 'kernel_drops'
type SenderCount = 'epoch' | 'highest' | 'received' | 'missing' | 'duplicates' | 'stale' | 'port'

export interface UdpHealth extends Health {
  readonly udp: Readonly<Record<UdpCount, number>> & {
    readonly malformed: Readonly<Record<string, number>>
    readonly sockets: ReadonlyArray<{ readonly port: number, readonly receive_buffer_bytes: number }>
  }
}

export interface Senders {
  readonly total: number
  readonly senders: ReadonlyArray<{ readonly sender: string } & Readonly<Record<SenderCount, number>>>
}

const SETTLED_DEADLINE_MS = 120_000

export async function healthOf (url: string): Promise<UdpHealth> {
  return await readHealth(url) as UdpHealth
}

export async function sendersOf (url: string, query = ''): Promise<Senders> {
  const { body } = await request(`${url}/udp/senders${query}`)
  return await body.json() as Senders
}

/** Resolves once the predicate holds and no points are waiting for the database. */
export async function settled (url: string, predicate: (health: UdpHealth) => boolean): Promise<UdpHealth> {
  return await eventually('the counters settle and no points wait', SETTLED_DEADLINE_MS, async () => {
    const health = await healthOf(url)
    return predicate(health) && health.points['waiting'] === 0 ? health : undefined
  })
}
