/** The satellites of the fleet view: last point and state of each, in bounded memory. */
import { STATES, worst, type LimitState, type State } from './state.js'

export interface Satellite {
  readonly id: string
  /** Of its newest point. */
  readonly timeMs: number
  readonly state: LimitState
}

/** The event `satellites`: id, time of the newest point, state by limits, and its stream if it is not `telemetry`. */
export interface SatelliteChanges {
  readonly changed: ReadonlyArray<readonly [id: string, timeMs: number, state: string, stream?: string]>
}

/** GET /satellites */
export interface SatellitePage {
  readonly total: number
  readonly limits_version: number
  readonly satellites: ReadonlyArray<{
    readonly satellite_id: string
    readonly state: string
    readonly streams: Readonly<Record<string, { readonly time: string, readonly state: string }>>
  }>
  readonly next: string | null
}

/** Shown as a grid up to here, as a list beyond. */
export const GRID_MAX = 1_000
/** Held at most; of a larger fleet, searches ask the server. */
export const SATELLITES_MAX = 20_000
/** Asked for at once. */
export const SATELLITES_PAGE = 1_000

export type Counts = Readonly<Record<State, number>>

export class Satellites {
  /** How many the server knows. */
  total = 0
  private readonly byId = new Map<string, Satellite>()
  /** By satellite and stream: the newest point. */
  private readonly byStream = new Map<string, Map<string, LastPoint>>()
  private ids: readonly string[] | null = []

  get size (): number {
    return this.byId.size
  }

  get (id: string): Satellite | undefined {
    return this.byId.get(id)
  }

  /** In order of id, as text: a satellite keeps its place. */
  get sorted (): readonly string[] {
    this.ids ??= [...this.byId.keys()].sort(compareNaturally)
    return this.ids
  }

  /** What came live. Of one satellite the later time holds; at the same time, the later news. */
  change ({ changed }: SatelliteChanges): void {
    for (const [id, timeMs, state, stream = TELEMETRY] of changed) {
      this.take(id, stream, { timeMs, state: limitState(state) }, true)
    }
    this.total = Math.max(this.total, this.byId.size)
  }

  /** What the database has. @param current whether it was judged by the limits in force */
  stored (page: SatellitePage, current: boolean): void {
    this.total = Math.max(page.total, this.byId.size)
    for (const { satellite_id: id, streams } of page.satellites) {
      for (const [stream, { time, state }] of Object.entries(streams)) {
        this.take(id, stream, { timeMs: Date.parse(time), state: limitState(state) }, current)
      }
    }
  }

  /** @param winsTies over what is known of the same time */
  private take (id: string, stream: string, point: LastPoint, winsTies: boolean): void {
    let points = this.byStream.get(id)
    if (points === undefined) {
      if (this.byStream.size >= SATELLITES_MAX) return
      points = new Map()
      this.byStream.set(id, points)
      this.ids = null
    }
    const known = points.get(stream)
    if (known !== undefined && (winsTies ? known.timeMs > point.timeMs : known.timeMs >= point.timeMs)) return
    points.set(stream, point)
    const all = [...points.values()]
    this.byId.set(id, {
      id, timeMs: Math.max(...all.map(({ timeMs }) => timeMs)), state: worst(all.map(({ state }) => state))
    })
  }
}

/**
 * Reads as many satellites as are held, page by page. Those that are held already are read again: what they send to
 * other hosts is not in the feed of this one.
 * @param readPage resolves with the cursor of the next page; null: there is none
 */
export async function readFleet (readPage: (cursor: string) => Promise<string | null>): Promise<void> {
  let cursor: string | null = ''
  for (let read = 0; cursor !== null && read < SATELLITES_MAX; read += SATELLITES_PAGE) cursor = await readPage(cursor)
}

type LastPoint = Pick<Satellite, 'timeMs' | 'state'>

const TELEMETRY = 'telemetry'

export function satellitesOf (page: SatellitePage): Satellite[] {
  return page.satellites.map(({ satellite_id: id, state, streams }) => ({
    id, state: limitState(state), timeMs: Math.max(...Object.values(streams).map(({ time }) => Date.parse(time)))
  }))
}

/** A satellite as the fleet shows it. */
export interface Shown {
  readonly id: string
  readonly state: State
  /** Before it went stale. */
  readonly before: State
  readonly timeMs: number
}

/** A satellite that has not sent for a while is stale, whatever its last values were. */
export function shownState ({ timeMs, state }: Satellite, nowMs: number, staleMs: number): State {
  return nowMs - timeMs > staleMs ? 'stale' : state
}

export function countStates (states: Iterable<State>): Counts {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>
  for (const state of states) counts[state]++
  return counts
}

/** A satellite without any limits counts as in order. */
function limitState (text: string): LimitState {
  return text === 'critical' || text === 'warning' ? text : 'ok'
}

const collator = new Intl.Collator('en', { numeric: true })

/** SAT-9 before SAT-10. */
function compareNaturally (a: string, b: string): number {
  return collator.compare(a, b) || (a < b ? -1 : 1)
}
