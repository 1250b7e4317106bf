/**
 * Gathers for the live feed: asks all workers for what is new, merges it, and sends each worker with clients a tick.
 *
 *   idle ──first client──▶ gathering, a round every TICK_MS ──last client gone──▶ idle
 *
 * A client's stream begins with the first round after its request: by then every worker is being watched, so what the
 * database does not have yet is in a later tick. Nothing is gathered while idle.
 *
 * Bounds: CLIENTS_MAX clients; one question and one tick in flight per worker; a tick that cannot be sent is dropped
 * and reported as a gap; satellites wait here up to PENDING_MAX and what one round adds, an event has EVENT_BYTES_MAX,
 * and whatever does not fit waits, merged with what comes later.
 */
import { strict as assert } from 'node:assert'
import { TELEMETRY, type Stream, type TypedMetric } from '../../../protocol/catalogue.js'
import { SATELLITE_STATES, TICK_MS } from '../../ingress/http/live/feed.js'
import type { FeedGap, FeedPoint, FeedTick, FeedWant } from '../../ingress/http/live/feed.js'
import type { GatherWant, NewestPart, NewestValues, SatelliteChange } from '../../worker/newest-points.js'

/** In all workers together. */
const CLIENTS_MAX = 512
/** From one round to the next if a client waits for its stream to begin. */
const SOON_MS = 50
/** A worker that takes longer is left out of a round; its answer goes into the next. */
const ROUND_TIMEOUT_MS = 200
const PENDING_MAX = 2_000
const EVENT_BYTES_MAX = 64 * 1024

export interface FeedHubParts<Worker> {
  readonly run: string
  readonly version: string
  readonly streams: readonly Stream[]
  /** Those that can answer. */
  readonly ready: () => readonly Worker[]
  readonly ask: (worker: Worker, want: GatherWant | null) => void
  /** Calls back once the message has left the process. */
  readonly send: (worker: Worker, tick: FeedTick, onSent: () => void) => void
  /** What every client is told. */
  readonly state: () => Pick<FeedTick, 'problems' | 'limitsVersion'>
  /** The fleet event. */
  readonly fleet: (timeMs: number) => object
}

interface Opening<Worker> {
  readonly worker: Worker
  readonly id: number
}

/** A satellite's newest values in one stream, of all workers. */
class MergedPoint {
  private timeMs = -Infinity
  private state = 0
  private readonly values = new Map<number, readonly [timeMs: number, value: number]>()

  add ({ timeMs, state, values }: NewestValues): void {
    if (timeMs >= this.timeMs) {
      this.timeMs = timeMs
      this.state = state
    }
    for (const [metric, valueMs, value] of values) {
      if (valueMs >= (this.values.get(metric)?.[0] ?? -Infinity)) this.values.set(metric, [valueMs, value])
    }
  }

  constructor (private readonly satellite: string, private readonly stream: Stream) {}

  toEvent (): FeedPoint {
    const { satellite, stream: { name: stream, typed: metrics } } = this
    const values = Object.fromEntries(Array.from(this.values, ([index, [timeMs, value]]) => {
      const { metric, type } = metrics[index] as TypedMetric
      return [metric.name, [timeMs, type.show(value)] as const]
    }))
    return { satellite, stream, timeMs: this.timeMs, state: SATELLITE_STATES[this.state] ?? 'ok', values }
  }
}

export class FeedHub<Worker> {
  private readonly wants = new Map<Worker, FeedWant>()
  private openings: Array<Opening<Worker>> = []
  private refusals: Array<Opening<Worker>> = []
  /** Questions in flight. */
  private readonly asked = new Set<Worker>()
  /** Those of the current round. */
  private readonly round = new Set<Worker>()
  private onRoundComplete: () => void = () => {}
  /** Ticks in flight. */
  private readonly busy = new Set<Worker>()
  private readonly gaps = new Map<Worker, FeedGap[]>()
  /** By satellite and stream. */
  private pending = new Map<string, SatelliteChange>()
  private points = new Map<string, MergedPoint>()
  /** Satellites that wait in a worker. */
  private readonly more = new Map<Worker, number>()
  private timer: NodeJS.Timeout | null = null
  private isGathering = false
  private isClosed = false
  private begunMs = -Infinity

  constructor (private readonly parts: FeedHubParts<Worker>) {}

  /**
   * The clients of a worker have changed.
   * @param id of a request to begin a stream, whose client is among them; 0: none
   */
  want (worker: Worker, id: number, want: FeedWant): void {
    if (this.isClosed) return
    const others = this.clients - (this.wants.get(worker)?.clients ?? 0)
    if (id !== 0 && others + want.clients > CLIENTS_MAX) {
      this.refusals.push({ worker, id })
    } else {
      if (id !== 0) this.openings.push({ worker, id })
      this.replaceWant(worker, want)
    }
    this.schedule()
  }

  received (worker: Worker, { satellites, more, isLossy, points }: NewestPart): void {
    this.asked.delete(worker)
    if (this.wants.size > 0) {
      this.more.set(worker, more)
      for (const change of satellites) this.addSatellite(change)
      for (const point of points) this.addPoint(point)
      if (isLossy) this.addGapToAll({ cause: 'too_many_satellites' })
    }
    this.answered(worker)
  }

  died (worker: Worker): void {
    this.replaceWant(worker, null)
    this.openings = this.openings.filter((opening) => opening.worker !== worker)
    this.refusals = this.refusals.filter((refusal) => refusal.worker !== worker)
    this.busy.delete(worker)
    this.gaps.delete(worker)
    this.more.delete(worker)
    this.asked.delete(worker)
    this.addGapToAll({ cause: 'worker_died' })
    this.answered(worker)
    this.schedule()
  }

  /** The server stops. */
  close (): void {
    this.isClosed = true
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    this.wants.clear()
    this.refusals = []
    this.openings = []
  }

  private get clients (): number {
    return Array.from(this.wants.values(), ({ clients }) => clients).reduce((sum, clients) => sum + clients, 0)
  }

  private replaceWant (worker: Worker, want: FeedWant | null): void {
    const wasUsed = this.wants.size > 0
    if (want === null || want.clients === 0) this.wants.delete(worker)
    else this.wants.set(worker, want)
    if (wasUsed && this.wants.size === 0) this.rest()
  }

  /** Nobody watches any more. */
  private rest (): void {
    this.pending = new Map()
    this.points = new Map()
    this.more.clear()
    this.gaps.clear()
    for (const worker of this.parts.ready()) this.parts.ask(worker, null)
  }

  private schedule (): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
    if (this.isGathering || this.wants.size + this.refusals.length === 0) return
    const intervalMs = this.openings.length + this.refusals.length > 0 ? SOON_MS : TICK_MS
    const restMs = this.begunMs + intervalMs - performance.now()
    this.timer = setTimeout(() => { void this.gather() }, Math.max(0, restMs))
  }

  private async gather (): Promise<void> {
    this.timer = null
    this.begunMs = performance.now()
    const { openings } = this
    this.openings = []
    this.isGathering = true
    const isComplete = await this.askAll()
    this.isGathering = false
    if (!isComplete) for (const { worker } of openings) this.addGap(worker, { cause: 'server_busy' })
    this.emit(openings)
    this.schedule()
  }

  /** False: not every worker answered in time. */
  private async askAll (): Promise<boolean> {
    const wants = [...this.wants.values()]
    const want: GatherWant = {
      satellites: wants.some(({ satellites }) => satellites),
      isFull: this.pending.size >= PENDING_MAX,
      watched: [...new Set(wants.flatMap(({ watched }) => watched))]
    }
    const isBehind = this.asked.size > 0
    this.round.clear()
    for (const worker of this.parts.ready()) {
      if (this.asked.has(worker)) continue
      this.asked.add(worker)
      this.round.add(worker)
      this.parts.ask(worker, want)
    }
    if (this.round.size === 0) return !isBehind
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ROUND_TIMEOUT_MS)
      this.onRoundComplete = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return this.round.size === 0 && !isBehind
  }

  private answered (worker: Worker): void {
    if (this.round.delete(worker) && this.round.size === 0) this.onRoundComplete()
  }

  private emit (openings: ReadonlyArray<Opening<Worker>>): void {
    const timeMs = Date.now()
    const { run, version, state, fleet, send } = this.parts
    const wants = [...this.wants.values()]
    const shared = {
      run,
      version,
      timeMs,
      ...state(),
      fleet: wants.some((want) => want.fleet) ? JSON.stringify(fleet(timeMs)) : null,
      satellites: this.takeSatellites(timeMs),
      points: this.takePoints()
    }
    for (const worker of new Set([...this.wants.keys(), ...this.refusals.map((refusal) => refusal.worker)])) {
      const idsOf = (all: ReadonlyArray<Opening<Worker>>): number[] =>
        all.filter((each) => each.worker === worker).map(({ id }) => id)
      if (this.busy.has(worker)) {
        this.addGap(worker, { cause: 'server_busy', ticks: 1 })
        this.openings.push(...openings.filter((opening) => opening.worker === worker))
        continue
      }
      const want = this.wants.get(worker)
      const watched = new Set(want?.watched)
      this.busy.add(worker)
      send(worker, {
        ...shared,
        opened: idsOf(openings),
        refused: idsOf(this.refusals),
        gaps: this.gaps.get(worker) ?? [],
        fleet: want?.fleet === true ? shared.fleet : null,
        satellites: want?.satellites === true ? shared.satellites : null,
        points: shared.points.filter(({ satellite }) => watched.has(satellite))
      }, () => this.busy.delete(worker))
      this.refusals = this.refusals.filter((refusal) => refusal.worker !== worker)
      this.gaps.delete(worker)
    }
  }

  private addSatellite (change: SatelliteChange): void {
    const [id, timeMs, , stream] = change
    const key = keyOf(id, stream)
    const known = this.pending.get(key)
    if (known === undefined || timeMs >= known[1]) this.pending.set(key, change)
  }

  private addPoint (point: NewestValues): void {
    const key = keyOf(point.satellite, point.stream)
    const stream = this.parts.streams[point.stream]
    assert(stream !== undefined, 'workers have the catalogue of the primary')
    const merged = this.points.get(key) ?? new MergedPoint(point.satellite, stream)
    this.points.set(key, merged)
    merged.add(point)
  }

  /** The event as JSON; null: nothing has changed. */
  private takeSatellites (timeMs: number): string | null {
    if (this.pending.size === 0) return null
    const texts: string[] = []
    let bytes = 0
    for (const [key, [id, newestMs, state, stream]] of this.pending) {
      const name = this.parts.streams[stream]?.name ?? ''
      const text = `[${JSON.stringify(id)},${newestMs},"${SATELLITE_STATES[state] ?? ''}"` +
        `${name === TELEMETRY ? '' : `,"${name}"`}]`
      bytes += Buffer.byteLength(text) + 1
      if (bytes > EVENT_BYTES_MAX) break
      texts.push(text)
      this.pending.delete(key)
    }
    const more = [...this.more.values()].reduce((sum, count) => sum + count, this.pending.size)
    return `{"time_ms":${timeMs},"changed":[${texts.join(',')}],"more":${more}}`
  }

  private takePoints (): FeedPoint[] {
    const { points } = this
    this.points = new Map()
    return Array.from(points.values(), (point) => point.toEvent())
  }

  private addGapToAll (gap: FeedGap): void {
    for (const worker of this.wants.keys()) this.addGap(worker, gap)
  }

  /** At most one of each cause. */
  private addGap (worker: Worker, gap: FeedGap): void {
    const gaps = this.gaps.get(worker) ?? []
    const same = gaps.find(({ cause }) => cause === gap.cause)
    const ticks = (same?.ticks ?? 0) + (gap.ticks ?? 0)
    const merged = ticks > 0 ? { cause: gap.cause, ticks } : gap
    this.gaps.set(worker, [...gaps.filter((each) => each !== same), merged])
  }
}

/** No id has a control character. */
function keyOf (satellite: string, stream: number): string {
  return `${satellite}\n${stream}`
}
