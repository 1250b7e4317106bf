/**
 * Bounds by client: how many requests and points per second a token or an address may send. A request with a valid
 * token counts for the token, any other for its address.
 */
import type { HttpRequest } from '../engines/engine.js'
import { ClientAddresses } from './addresses.js'
import type { Rates } from '../../../access/token.js'
import type { NewSatellite } from './satellite-quota.js'
import { ClientRates, USES_MS, type Client, type ClientUse } from './rates.js'

/** Whoever has sent a request with a valid token. */
export interface KnownClient {
  /** Its name among clients, which no address has. */
  readonly client: string
  /** Its own bounds; null: those of everybody. */
  readonly rates: Rates | null
}

/** The tokens, as far as they are clients. */
export interface ClientTokens {
  callerOf (client: string): KnownClient | undefined
  /** Satellites counted here since the last calls, so many at most. */
  newSatellites (most: number): NewSatellite[]
  /** Satellites counted by another worker. */
  learn (satellites: readonly NewSatellite[]): void
}

/** Satellites in one message; the others are in the next. */
const SATELLITES_MAX = 1_000

export interface ClientSettings {
  /** Of clients whose token has no rates of its own. */
  readonly rates: Rates
  /** Addresses and networks whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[]
}

/** What the other workers must know. */
export interface ClientNews {
  readonly uses: readonly ClientUse[]
  readonly satellites: readonly NewSatellite[]
}

export class ClientBounds {
  private readonly rates = new ClientRates()
  private readonly addresses: ClientAddresses

  constructor (private readonly settings: ClientSettings, private readonly tokens: ClientTokens) {
    this.addresses = new ClientAddresses(settings.trustedProxies)
  }

  /** Whose buckets a request empties; null: nobody's. @param caller null: without a valid token */
  clientOf (request: HttpRequest, caller: KnownClient | null): Client | null {
    const rates = caller === null ? this.settings.rates : this.ratesOf(caller)
    if (rates.requests === null && rates.points === null) return null
    return this.rates.of(caller?.client ?? this.addresses.of(request), rates)
  }

  /**
   * Says regularly what the other workers must know, once what was said before has left. Without others as well: a
   * client that has something to tell makes no room for others, even if it is rested.
   * @param tell calls back when the message has left the process; null: there is nobody to tell
   * @returns what ends it
   */
  share (tell: ((news: ClientNews, onSent: () => void) => void) | null, intervalMs = USES_MS): () => Promise<void> {
    let isSending = false
    const timer = setInterval(() => {
      const news = isSending ? null : this.news()
      if (news === null || tell === null) return
      isSending = true
      tell(news, () => { isSending = false })
    }, intervalMs)
    return async () => {
      clearInterval(timer)
      await Promise.resolve()
    }
  }

  /** Null: nothing new. */
  news (): ClientNews | null {
    const [uses, satellites] = [this.rates.uses(), this.tokens.newSatellites(SATELLITES_MAX)]
    return uses.length === 0 && satellites.length === 0 ? null : { uses, satellites }
  }

  /** News of another worker. */
  learn ({ uses, satellites }: ClientNews): void {
    this.rates.add(uses, (client) => {
      const caller = this.tokens.callerOf(client)
      return caller === undefined ? this.settings.rates : this.ratesOf(caller)
    })
    this.tokens.learn(satellites)
  }

  private ratesOf ({ rates }: KnownClient): Rates {
    const { rates: { requests, points } } = this.settings
    if (rates === null) return this.settings.rates
    return { requests: rates.requests ?? requests, points: rates.points ?? points }
  }
}
