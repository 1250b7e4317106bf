/**
 * GET /feed: what a live page shows, as Server-Sent Events. docs/HTTP.md describes the events.
 *
 *   client ─▶ worker: the views of its clients, together ─▶ primary, which gathers from all workers and answers with a
 *   tick every 250 ms, whose parts this worker writes to those that want them
 *
 * A client that reads too slowly is skipped, tick by tick, and told how many it missed. What holds until it changes
 * (problems, version of the limits) is sent again with the next tick that it takes.
 */
import { qualified } from '../../../../protocol/catalogue.js'
import type { Shown } from '../../../../protocol/value-types.js'
import { EventStreams, eventText, NOTHING_NEW } from './event-streams.js'
import { readFeedQuery, type FeedView } from './feed-query.js'
import type { HttpStream } from '../engines/engine.js'
import type { RouteCall } from '../api/reply.js'
import type { TokenCheck } from '../api/tokens.js'
import type { AnomalyCursor, LiveAnomalies } from './anomaly-stream.js'
import type { Beginning, StreamClient } from './event-streams.js'

/** What the clients of one worker want, together. */
export interface FeedWant {
  readonly clients: number
  readonly fleet: boolean
  readonly satellites: boolean
  /** Ids of the satellites that they watch. */
  readonly watched: readonly string[]
}

/** States of a satellite's newest point by the limits, in the order of their codes; `ok` also without any limit. */
export const SATELLITE_STATES = ['ok', 'warning', 'critical'] as const
export type SatelliteState = typeof SATELLITE_STATES[number]

/** The newest values of a watched satellite in one stream since the last tick. */
export interface FeedPoint {
  readonly satellite: string
  readonly stream: string
  /** Of the newest point; milliseconds since 1970. */
  readonly timeMs: number
  readonly state: SatelliteState
  /** By metric: time in milliseconds since 1970, and value, as senders may write it. */
  readonly values: Readonly<Record<string, readonly [timeMs: number, value: Shown]>>
}

/** Why clients may have missed something that is not sent again. */
export interface FeedGap {
  readonly cause: 'slow_client' | 'server_busy' | 'worker_died' | 'too_many_satellites'
  /** Dropped. */
  readonly ticks?: number
}

/** From the primary to one worker; texts are JSON. */
export interface FeedTick {
  /** Requests that may begin with this tick, and those that may not, by id. */
  readonly opened: readonly number[]
  readonly refused: readonly number[]
  /** Id of this run of the primary. */
  readonly run: string
  readonly version: string
  readonly timeMs: number
  readonly limitsVersion: number
  /** All current problems; `number` grows when they change. */
  readonly problems: { readonly number: number, readonly text: string }
  /** Since the last tick that this worker was sent. */
  readonly gaps: readonly FeedGap[]
  /** Null: nothing new, or nobody wants it. */
  readonly fleet: string | null
  readonly satellites: string | null
  readonly points: readonly FeedPoint[]
}

export const TICK_MS = 250
/** For the primary to admit a client; it gathers once from all workers before. */
const ADMIT_TIMEOUT_MS = 2_000

export interface FeedOptions {
  readonly anomalies: LiveAnomalies
  readonly tokens: TokenCheck
  /** Names in the catalogue, those of other streams than `telemetry` with the stream. */
  readonly metrics: readonly string[]
  /** Tells the primary what the clients want. @param id of a new request among them, which a tick answers; 0: none */
  readonly tell: (id: number, want: FeedWant) => void
}

/** A tick, with the texts that its clients share. */
class TickTexts {
  readonly fleet: string
  readonly satellites: string
  readonly gaps: string
  /** By satellite. */
  private readonly points: ReadonlyMap<string, readonly FeedPoint[]>

  constructor (readonly tick: FeedTick) {
    this.fleet = tick.fleet === null ? '' : eventText('fleet', tick.fleet)
    this.satellites = tick.satellites === null ? '' : eventText('satellites', tick.satellites)
    this.gaps = tick.gaps.map((gap) => eventText('gap', JSON.stringify(gap))).join('')
    const points = new Map<string, FeedPoint[]>()
    for (const point of tick.points) points.set(point.satellite, [...points.get(point.satellite) ?? [], point])
    this.points = points
  }

  point ({ satellite, metrics }: FeedView): string {
    const points = satellite === null ? [] : this.points.get(satellite) ?? []
    return points.map(({ stream, timeMs, state, values }) => {
      const chosen = Object.entries(values).filter(([name]) => metrics === null || metrics.has(qualified(stream, name)))
      if (chosen.length === 0) return ''
      return eventText('point', JSON.stringify({
        satellite, stream, time_ms: timeMs, state, values: Object.fromEntries(chosen)
      }))
    }).join('')
  }
}

class FeedClient implements StreamClient {
  /** Dropped since the last one that was sent. */
  private skippedTicks = 0
  private problems = -1
  private limits: number
  private cursor: AnomalyCursor | null = null
  private isClosed = false
  /** The first event; '' once it was sent. */
  private hello: string

  constructor (
    readonly view: FeedView,
    private readonly stream: HttpStream,
    { run, version, timeMs, limitsVersion }: FeedTick,
    private readonly anomalies: LiveAnomalies,
    private readonly end: () => void,
    private readonly onClosed: (client: FeedClient) => void
  ) {
    this.limits = limitsVersion
    const hello = { run, version, time_ms: timeMs, tick_ms: TICK_MS, limits_version: limitsVersion }
    this.hello = eventText('hello', JSON.stringify(hello))
    this.write('')
  }

  /** @param lastEventId the header */
  followAnomalies (lastEventId: string): void {
    this.anomalies.follow(lastEventId, (start) => {
      if (this.isClosed) return
      // The primary is gone or busy for seconds: the client starts over.
      if (start === null) this.end()
      else this.cursor = this.anomalies.join(start, (text) => this.write(text))
    })
  }

  send (texts: TickTexts): void {
    const { view: { parts, satellite } } = this
    const { tick: { problems, limitsVersion } } = texts
    const hasDeltas = parts.has('satellites') || satellite !== null
    // Not join(), which would copy them: the texts are large, shared by all clients, and dropped if this one is slow.
    const text = (hasDeltas ? texts.gaps : '') +
      (problems.number === this.problems ? '' : eventText('problems', problems.text)) +
      (limitsVersion === this.limits ? '' : eventText('limits', `{"version":${limitsVersion}}`)) +
      (parts.has('fleet') ? texts.fleet : '') +
      (parts.has('satellites') ? texts.satellites : '') +
      texts.point(this.view)
    if (text === '' && this.hello === '') return
    if (this.write(this.skipped() + text)) {
      this.skippedTicks = 0
      this.problems = problems.number
      this.limits = limitsVersion
    } else {
      this.skippedTicks++
    }
  }

  keepAlive (): void {
    if (this.cursor !== null) this.anomalies.catchUp(this.cursor)
    if (this.write(this.skipped() || NOTHING_NEW)) this.skippedTicks = 0
  }

  /** False: dropped, as the client reads too slowly, or there is no room. Whatever comes first begins with `hello`. */
  private write (text: string): boolean {
    const isTaken = this.stream.write(this.hello + text)
    if (isTaken) this.hello = ''
    return isTaken
  }

  closed (): void {
    this.isClosed = true
    if (this.cursor !== null) this.anomalies.leave(this.cursor)
    this.onClosed(this)
  }

  private skipped (): string {
    const { skippedTicks: ticks } = this
    return ticks === 0 ? '' : eventText('gap', JSON.stringify({ cause: 'slow_client', ticks }))
  }
}

interface Opening {
  readonly view: FeedView
  readonly lastEventId: string
  readonly settle: (beginning: Beginning) => boolean
  readonly timer: NodeJS.Timeout
}

export class Feed {
  private readonly streams: EventStreams
  private readonly clients = new Set<FeedClient>()
  /** By id of the request. */
  private readonly openings = new Map<number, Opening>()
  private nextId = 1
  private tellIsDue = false

  constructor (private readonly options: FeedOptions) {
    this.streams = new EventStreams(options.tokens)
  }

  readonly handle = (call: RouteCall): void => {
    const { request } = call
    const read = readFeedQuery(request.query, this.options.metrics)
    if (!read.ok) {
      call.fail('invalid_query', read)
      return
    }
    const { value: view } = read
    const lastEventId = request.header('last-event-id')
    this.streams.accept(call, (settle) => {
      const id = this.nextId++
      const timer = setTimeout(() => this.refuse(id, 'not_ready'), ADMIT_TIMEOUT_MS)
      this.openings.set(id, { view, lastEventId, settle, timer })
      this.options.tell(id, this.want())
    })
  }

  /** From the primary. */
  add (tick: FeedTick): void {
    for (const id of tick.refused) this.refuse(id, 'too_many_streams')
    for (const id of tick.opened) this.begin(id, tick)
    const texts = new TickTexts(tick)
    for (const client of this.clients) client.send(texts)
  }

  private begin (id: number, tick: FeedTick): void {
    const opening = this.take(id)
    if (opening === null) return
    const { view, lastEventId, settle } = opening
    const hasBegun = settle((stream, end) => {
      const client = new FeedClient(view, stream, tick, this.options.anomalies, end, (gone) => {
        this.clients.delete(gone)
        this.tellSoon()
      })
      this.clients.add(client)
      if (view.parts.has('anomalies')) client.followAnomalies(lastEventId)
      return client
    })
    if (!hasBegun) this.tellSoon()
  }

  private refuse (id: number, code: 'not_ready' | 'too_many_streams'): void {
    this.take(id)?.settle(code)
    this.tellSoon()
  }

  private take (id: number): Opening | null {
    const opening = this.openings.get(id) ?? null
    this.openings.delete(id)
    if (opening !== null) clearTimeout(opening.timer)
    return opening
  }

  /** Once for all clients that leave together. */
  private tellSoon (): void {
    if (this.tellIsDue) return
    this.tellIsDue = true
    setImmediate(() => {
      this.tellIsDue = false
      this.options.tell(0, this.want())
    })
  }

  private want (): FeedWant {
    const views = [...this.clients, ...this.openings.values()].map(({ view }) => view)
    const watched = views.flatMap(({ satellite }) => satellite === null ? [] : [satellite])
    return {
      clients: views.length,
      fleet: views.some(({ parts }) => parts.has('fleet')),
      satellites: views.some(({ parts }) => parts.has('satellites')),
      watched: [...new Set(watched)]
    }
  }
}
