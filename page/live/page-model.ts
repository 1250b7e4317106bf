/**
 * All that the page knows. The feed changes it, views read it, and `changes` tells them when, a few times a second.
 *
 * Whatever the feed said before it was lost stays on the screen, marked as old; when the feed is back, the server is
 * asked for everything again, so that nothing is missing.
 */
import { metricsOf, unknownMetric, type CatalogueAnswer, type MetricInfo, type Value } from '../model/catalogue.js'
import { Changes } from '../model/change-signal.js'
import { Fleet, type FleetTick } from '../model/fleet.js'
import { problemsOf, type Problem, type ProblemsEvent } from '../model/problems.js'
import { parseRoute, type Route } from '../model/route.js'
import { ServerClock } from '../model/server-clock.js'
import {
  Satellites, SATELLITES_PAGE, readFleet, type SatelliteChanges, type SatellitePage
} from '../model/satellites.js'
import type { Anomaly } from '../model/anomalies.js'
import { Http } from '../net/http.js'
import { Token } from '../net/tab-token.js'
import { Staleness } from './staleness.js'
import { Feed, type FeedView } from './feed-client.js'

export interface PointEvent {
  readonly satellite: string
  readonly stream: string
  readonly time_ms: number
  readonly state: string
  /** Time and value by metric. */
  readonly values: Readonly<Record<string, readonly [timeMs: number, value: Value]>>
}

interface Hello {
  readonly run: string
  readonly time_ms: number
  readonly limits_version: number
}

/** What a view does with what the feed brings. */
export interface ViewListener {
  /** The feed has begun, or something may have been missed: time to ask the server for the state. */
  onGap?: () => void
  onPoint?: (point: PointEvent) => void
  onAnomaly?: (anomaly: Anomaly) => void
}

export interface Link {
  readonly state: 'opening' | 'live' | 'lost'
  readonly why: string
  /** Milliseconds since 1970, by the server's clock. */
  readonly sinceMs: number
}

/** Satellites that send to other hosts are not in the feed of this one. */
const SATELLITES_EVERY_MS = 10_000
/** After a gap or a failure, by page. */
const SATELLITES_AGAIN_MS = 1_000

export class PageModel {
  readonly changes = new Changes()
  readonly token = new Token(() => this.changes.now())
  readonly http = new Http(this.token)
  readonly fleet = new Fleet()
  readonly satellites = new Satellites()
  readonly staleness = new Staleness()
  route: Route = parseRoute(location.hash)
  catalogue: readonly MetricInfo[] = []
  link: Link = { state: 'opening', why: '', sinceMs: Date.now() }
  serverProblems: readonly Problem[] = []
  limitsVersion = 0
  satellitesFailure: string | null = null
  satellitesRead = false
  private run = ''
  /** The run that `catalogue` is of. */
  private catalogueRun = ''
  private readingCatalogue = false
  private readonly clock = new ServerClock()
  private byName = new Map<string, MetricInfo>()
  private readonly listeners = new Set<ViewListener>()
  private readonly feed = new Feed(this.http, {
    onEvent: (event, data) => this.onEvent(event, data),
    onLost: (why) => this.onLost(why)
  })

  private satellitesDueMs = -Infinity
  private readingSatellites = false
  /** When they were read last. */
  private satellitesReadMs = -Infinity

  constructor () {
    addEventListener('hashchange', () => this.readRoute())
    // Ages grow even if nothing happens.
    setInterval(() => this.second(), 1_000)
    this.feed.show(viewOf(this.route))
  }

  /** The server's clock. */
  readonly nowMs = (): number => this.clock.nowMs

  readonly go = (hash: string): void => {
    location.hash = hash
  }

  readonly readRoute = (): void => {
    this.route = parseRoute(location.hash)
    this.feed.show(viewOf(this.route))
    this.changes.now()
  }

  readonly metric = (name: string): MetricInfo => this.byName.get(name) ?? unknownMetric(name)

  get problems (): readonly Problem[] {
    const { state, why, sinceMs } = this.link
    if (state !== 'lost' || this.token.question !== null) return this.serverProblems
    const detail = `${why}. Figures may be out of date; the page reconnects by itself.`
    return [{ key: 'connection', level: 'critical', title: 'Connection lost', detail, sinceMs }]
  }

  watch (listener: ViewListener): () => void {
    this.listeners.add(listener)
    if (this.link.state === 'live') listener.onGap?.()
    return () => this.listeners.delete(listener)
  }

  private onEvent (event: string, data: unknown): void {
    switch (event) {
      case 'hello': this.hello(data as Hello); break
      case 'problems': this.serverProblems = problemsOf(data as ProblemsEvent); break
      case 'limits':
        this.limitsVersion = (data as { version: number }).version
        this.tellGap()
        break
      case 'fleet':
        this.clock.hear((data as FleetTick).time_ms)
        this.fleet.add(data as FleetTick)
        break
      case 'satellites': this.satellites.change(data as SatelliteChanges); break
      case 'point': for (const { onPoint } of this.listeners) onPoint?.(data as PointEvent); break
      case 'anomaly': for (const { onAnomaly } of this.listeners) onAnomaly?.(data as Anomaly); break
      case 'missed':
      case 'gap': this.tellGap(); break
    }
    this.changes.note()
  }

  private hello ({ run, time_ms: timeMs, limits_version: version }: Hello): void {
    this.clock.set(timeMs)
    this.link = { state: 'live', why: '', sinceMs: timeMs }
    this.limitsVersion = version
    this.run = run
    this.tellGap()
    this.changes.now()
  }

  private onLost (why: string): void {
    if (this.link.state !== 'lost') this.link = { state: 'lost', why, sinceMs: this.nowMs() }
    this.changes.now()
  }

  private tellGap (): void {
    this.noteSatellites()
    this.second()
    for (const { onGap } of this.listeners) onGap?.()
  }

  /** Due at once, but for what was read within the last second. */
  private noteSatellites (): void {
    const soonMs = Math.max(performance.now(), this.satellitesReadMs + SATELLITES_AGAIN_MS)
    this.satellitesDueMs = this.readingSatellites ? -Infinity : Math.min(this.satellitesDueMs, soonMs)
  }

  private second (): void {
    if (this.catalogueRun !== this.run && !this.readingCatalogue) void this.readCatalogue()
    if (this.route.view === 'fleet' && this.link.state === 'live' && performance.now() >= this.satellitesDueMs) {
      void this.readSatellites()
    }
    this.changes.note()
  }

  private async readCatalogue (): Promise<void> {
    const { run } = this
    this.readingCatalogue = true
    const answer = await this.http.get<CatalogueAnswer>('/catalogue')
    this.readingCatalogue = false
    if (!answer.ok) return
    this.catalogueRun = run
    this.catalogue = metricsOf(answer.value)
    this.byName = new Map(this.catalogue.map((metric) => [metric.name, metric]))
    this.changes.now()
  }

  private async readSatellites (): Promise<void> {
    if (this.readingSatellites) return
    this.readingSatellites = true
    // A gap meanwhile makes it due again.
    this.satellitesDueMs = Infinity
    await readFleet((cursor) => this.readSatellitePage(cursor))
    this.readingSatellites = false
    this.satellitesReadMs = performance.now()
    // A large fleet takes many pages, so it is asked for less often.
    const pages = Math.ceil(this.satellites.size / SATELLITES_PAGE)
    const everyMs = SATELLITES_EVERY_MS * Math.max(1, pages)
    const isMissing = this.satellitesDueMs < 0 || this.satellitesFailure !== null
    this.satellitesDueMs = performance.now() + (isMissing ? SATELLITES_AGAIN_MS * Math.max(1, pages) : everyMs)
    this.changes.note()
  }

  /** Resolves with the cursor of the next page; null: there is none, or the server does not answer. */
  private async readSatellitePage (cursor: string): Promise<string | null> {
    const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const answer = await this.http.get<SatellitePage>(`/satellites?limit=${SATELLITES_PAGE}${after}`)
    this.satellitesFailure = answer.ok ? null : answer.message
    if (!answer.ok) return null
    this.satellitesRead = true
    this.satellites.stored(answer.value, answer.value.limits_version === this.limitsVersion)
    return answer.value.next
  }
}

function viewOf (route: Route): FeedView {
  switch (route.view) {
    case 'fleet': return { parts: ['fleet', 'satellites', 'anomalies'], satellite: null }
    case 'satellite': return { parts: ['anomalies'], satellite: route.id }
    case 'anomalies': return { parts: ['anomalies'], satellite: null }
    case 'limits': return { parts: [], satellite: null }
  }
}
