/**
 * How many requests and points a client may send per second: a token bucket for each, which holds what one second
 * brings. A body is taken if there is anything left, and may leave a debt: the bucket is what the client has left, and
 * the average holds whatever the size of bodies.
 *
 * Workers share a client: each tells the others now and then what it has taken from which bucket.
 */

import type { Rates } from '../../../access/token.js'

/** What a client has sent to one worker since the last exchange. */
export type ClientUse = readonly [client: string, requests: number, points: number]

/** Clients that a worker remembers. One that is forgotten starts with full buckets. */
export const CLIENTS_MAX = 10_000
/** Clients in one message; the others are in the next. */
export const USES_MAX = 1_000
/** Between two messages. A client may exceed its rate for as long, once, at every other worker. */
export const USES_MS = 100
/** A client with its buckets and the longest name of a token. */
export const CLIENT_BYTES = 1_024
/** Looking at all clients takes half a millisecond: not for each new one. */
const SWEEP_MS = 1_000

class Bucket {
  private left: number
  private filledMs: number

  constructor (private readonly perSecond: number, nowMs: number) {
    this.left = perSecond
    this.filledMs = nowMs
  }

  /** Whole seconds, at least 1, until there is something left; 0: there is. */
  waitSeconds (nowMs: number): number {
    this.fill(nowMs)
    return this.left >= 1 ? 0 : Math.max(1, Math.ceil((1 - this.left) / this.perSecond))
  }

  take (amount: number, nowMs: number): void {
    this.fill(nowMs)
    this.left -= amount
  }

  isFull (nowMs: number): boolean {
    this.fill(nowMs)
    return this.left >= this.perSecond
  }

  private fill (nowMs: number): void {
    this.left = Math.min(this.perSecond, this.left + (nowMs - this.filledMs) / 1000 * this.perSecond)
    this.filledMs = nowMs
  }
}

/** One client of a worker. */
export class Client {
  private readonly requests: Bucket | null
  private readonly points: Bucket | null
  private newRequests = 0
  private newPoints = 0

  constructor (readonly name: string, readonly rates: Rates, private readonly nowMs: () => number) {
    const now = nowMs()
    this.requests = rates.requests === null ? null : new Bucket(rates.requests, now)
    this.points = rates.points === null ? null : new Bucket(rates.points, now)
  }

  /** Takes a request, unless there have been too many: then the seconds to wait. */
  takeRequest (): number {
    if (this.requests === null) return 0
    const now = this.nowMs()
    const waitSeconds = this.requests.waitSeconds(now)
    if (waitSeconds > 0) return waitSeconds
    this.requests.take(1, now)
    this.newRequests++
    return 0
  }

  /** Seconds to wait before points are taken. */
  pointsWaitSeconds (): number {
    return this.points?.waitSeconds(this.nowMs()) ?? 0
  }

  takePoints (count: number): void {
    if (this.points === null) return
    this.points.take(count, this.nowMs())
    this.newPoints += count
  }

  /** What another worker has taken. */
  takeElsewhere (requests: number, points: number): void {
    const now = this.nowMs()
    this.requests?.take(requests, now)
    this.points?.take(points, now)
  }

  /** What was taken since the last call; null: nothing. */
  use (): ClientUse | null {
    const { name, newRequests, newPoints } = this
    if (newRequests === 0 && newPoints === 0) return null
    this.newRequests = 0
    this.newPoints = 0
    return [name, newRequests, newPoints]
  }

  /** A client that sends nothing is as good as a new one. */
  isRested (): boolean {
    const now = this.nowMs()
    return this.newRequests === 0 && this.newPoints === 0 &&
      this.requests?.isFull(now) !== false && this.points?.isFull(now) !== false
  }
}

export class ClientRates {
  private readonly clients = new Map<string, Client>()
  private sweptMs = -Infinity

  /** @param nowMs monotonic */
  constructor (private readonly nowMs: () => number = () => performance.now()) {}

  /** The client of this name. Other rates than before, as after a reload, start it anew. */
  of (name: string, rates: Rates): Client {
    const known = this.clients.get(name)
    if (known !== undefined && known.rates.requests === rates.requests && known.rates.points === rates.points) {
      return known
    }
    if (this.clients.size >= CLIENTS_MAX) this.makeRoom()
    const client = new Client(name, rates, this.nowMs)
    this.clients.set(name, client)
    return client
  }

  /** What clients have sent since the last call, for the other workers. Those of one message are last in the next. */
  uses (): ClientUse[] {
    const uses: ClientUse[] = []
    const told: Client[] = []
    for (const client of this.clients.values()) {
      const use = client.use()
      if (use === null) continue
      uses.push(use)
      told.push(client)
      if (uses.length === USES_MAX) break
    }
    for (const client of told) {
      this.clients.delete(client.name)
      this.clients.set(client.name, client)
    }
    return uses
  }

  /** What clients have sent to another worker. @param ratesOf the rates of a client, by its name */
  add (uses: readonly ClientUse[], ratesOf: (name: string) => Rates): void {
    for (const [name, requests, points] of uses) this.of(name, ratesOf(name)).takeElsewhere(requests, points)
  }

  /** Forgets rested clients; if there are none, the one that has been quiet for longest. */
  private makeRoom (): void {
    const now = this.nowMs()
    if (now - this.sweptMs >= SWEEP_MS) {
      this.sweptMs = now
      for (const [name, client] of this.clients) if (client.isRested()) this.clients.delete(name)
    }
    const [first] = this.clients.keys()
    if (this.clients.size >= CLIENTS_MAX && first !== undefined) this.clients.delete(first)
  }
}
