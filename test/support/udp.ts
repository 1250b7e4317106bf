/** What the endpoints say of UDP, as tests read it. */
import { setTimeout as wait } from 'node:timers/promises'
import { request } from 'undici'

export interface UdpHealth {
  readonly points: Readonly<Record<string, number>>
  readonly udp: Readonly<Record<'packets' | 'taken' | 'points' | 'shed' | 'shed_points' | 'gaps' | 'late' | 'missing' | 'duplicates' | 'stale' | 'kernel_drops', number>> & {
    readonly malformed: Readonly<Record<string, number>>
    readonly sockets: ReadonlyArray<{ readonly port: number, readonly receive_buffer_bytes: number }>
  }
  readonly workers: ReadonlyArray<{ readonly slot: number, readonly pid: number, readonly engine: string, readonly state: string }>
}

export interface Senders {
  readonly total: number
  readonly senders: ReadonlyArray<{ readonly sender: string, readonly epoch: number, readonly highest: number, readonly received: number, readonly missing: number, readonly duplicates: number, readonly stale: number, readonly port: number }>
}

/** Pause between two looks at a server. */
const LOOK_INTERVAL_MS = 50

export async function healthOf (url: string): Promise<UdpHealth> {
  const { body } = await request(`${url}/health`)
  return await body.json() as UdpHealth
}

export async function sendersOf (url: string, query = ''): Promise<Senders> {
  const { body } = await request(`${url}/udp/senders${query}`)
  return await body.json() as Senders
}

/** Looks until the predicate holds and nothing waits for the database any more. The test's timeout is the bound. */
export async function settled (url: string, predicate: (health: UdpHealth) => boolean): Promise<UdpHealth> {
  for (;;) {
    const health = await healthOf(url)
    if (predicate(health) && health.points['waiting'] === 0) return health
    await wait(LOOK_INTERVAL_MS)
  }
}
