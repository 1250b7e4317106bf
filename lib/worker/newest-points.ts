/**
 * The newest point of each satellite in each stream, for the live feed, taken from every offer to the pipelines while
 * somebody watches.
 *
 * Costs a few array accesses per point, and nothing while nobody watches. By cell, that is Satellite.index
 * (satellites.ts) times the number of streams, plus the stream:
 *
 *   times, states   of the newest point, as far as it came while somebody watched
 *   told            the state that the primary was told; UNTOLD: none
 *   queued          bits: waits in `urgent` (its state has changed), waits in `others` (only its time has)
 *
 * and by Satellite.index alone:
 *
 *   watchOf         1 + index in `watches`; 0: nobody watches this satellite
 *
 * Arrays are valid while owners[index] is that same Satellite. Bounds: they grow with the SatelliteTable and are
 * dropped when that begins a new generation; each cell waits at most once in each queue; one part has at most
 * ENTRIES_MAX cells of each and VALUES_MAX values, and what is left waits, with the newest value, for the next.
 */
import type { PointColumns } from '../../protocol/columns.js'
import type { Satellite, SatelliteTable } from '../../protocol/satellites.js'
import type { AnomalyColumns } from '../limits/anomaly-columns.js'
import { ANOMALY_SIDES } from '../limits/limit-set.js'

/** What to gather. */
export interface GatherWant {
  /** States and times of all satellites. */
  readonly satellites: boolean
  /** Satellites that wait in the primary: none more now. */
  readonly isFull: boolean
  /** Ids of the satellites whose values are wanted. */
  readonly watched: readonly string[]
}

/**
 * Id, time of the newest point in milliseconds since 1970, index of its state in SATELLITE_STATES, and position of its
 * stream in the catalogue.
 */
export type SatelliteChange = readonly [id: string, timeMs: number, state: number, stream: number]

/** The newest values of a watched satellite in one stream. */
export interface NewestValues {
  readonly satellite: string
  /** Its position in the catalogue. */
  readonly stream: number
  readonly timeMs: number
  /** Index in SATELLITE_STATES. */
  readonly state: number
  readonly values: ReadonlyArray<readonly [metric: number, timeMs: number, value: number]>
}

/** What is new since the last part. */
export interface NewestPart {
  readonly satellites: readonly SatelliteChange[]
  /** Satellites that wait for the next part. */
  readonly more: number
  /** Too many satellites: changes that waited were dropped. */
  readonly isLossy: boolean
  readonly points: readonly NewestValues[]
}

const ENTRIES_MAX = 1_000
const VALUES_MAX = 5_000
/** Of those whose time alone has changed, one part has a quarter, but no fewer: so each is told about once a second. */
const OTHERS_SHARE = 1 / 4
const OTHERS_MIN = 64
const FIRST_SATELLITES = 1_024
const UNTOLD = 255
const URGENT = 1
const OTHER = 2

/** A watched satellite, in one stream. */
class StreamWatch {
  private readonly times: Float64Array
  private readonly values: Float64Array
  private readonly isFresh: Uint8Array
  private timeMicros = -Infinity
  private state = 0
  fresh = 0

  constructor (
    private readonly id: string, private readonly stream: number, private readonly metricCount: number
  ) {
    this.times = new Float64Array(metricCount).fill(-Infinity)
    this.values = new Float64Array(metricCount)
    this.isFresh = new Uint8Array(metricCount)
  }

  take ({ values, timesMicros }: PointColumns, point: number, state: number): void {
    const timeMicros = timesMicros[point] as number
    if (timeMicros >= this.timeMicros) {
      this.timeMicros = timeMicros
      this.state = state
    }
    const first = point * this.metricCount
    for (let metric = 0; metric < this.metricCount; metric++) {
      const value = values[first + metric] as number
      if (Number.isNaN(value) || timeMicros < (this.times[metric] as number)) continue
      this.times[metric] = timeMicros
      this.values[metric] = value
      if (this.isFresh[metric] === 0) this.fresh++
      this.isFresh[metric] = 1
    }
  }

  /** What is fresh; from then on it is not. */
  part (): NewestValues {
    const values: Array<[number, number, number]> = []
    for (let metric = 0; metric < this.metricCount; metric++) {
      if (this.isFresh[metric] === 0) continue
      values.push([metric, (this.times[metric] as number) / 1000, this.values[metric] as number])
    }
    this.isFresh.fill(0)
    this.fresh = 0
    return { satellite: this.id, stream: this.stream, timeMs: this.timeMicros / 1000, state: this.state, values }
  }
}

/** A watched satellite. */
class Watch {
  readonly streams: readonly StreamWatch[]

  constructor (readonly id: string, metricCounts: readonly number[]) {
    this.streams = metricCounts.map((metricCount, stream) => new StreamWatch(id, stream, metricCount))
  }
}

export class NewestPoints {
  private isWatched = false
  private allSatellites = false
  private owners: Satellite[] = []
  private generation = 0
  private times = new Float64Array(0)
  private states = new Uint8Array(0)
  private told = new Uint8Array(0)
  private queued = new Uint8Array(0)
  private watchOf = new Uint16Array(0)
  private urgent: number[] = []
  private others: number[] = []
  private watches: Watch[] = []
  /** 1 + index in `watches`, by id. */
  private readonly watchById = new Map<string, number>()
  /** Which of the watches, by satellite and stream, is the first to be asked for the next part. */
  private turn = 0
  private isLossy = false

  /** @param metricCounts by stream, in the order of the catalogue */
  constructor (private readonly table: SatelliteTable, private readonly metricCounts: readonly number[]) {}

  /**
   * @param anomalies of the columns; null: none
   * @param stream of the points: its position in the catalogue
   */
  take (columns: PointColumns, anomalies: AnomalyColumns | null, stream: number): void {
    if (!this.isWatched) return
    const { generation } = this.table
    if (generation !== this.generation) this.forget(generation)
    let anomaly = 0
    for (let point = 0; point < columns.count; point++) {
      let state = 0
      if (anomalies !== null) {
        for (; anomaly < anomalies.count && anomalies.points[anomaly] === point; anomaly++) {
          state = Math.max(state, 1 + Math.floor((anomalies.kinds[anomaly] as number) / ANOMALY_SIDES.length))
        }
      }
      this.takePoint(columns, point, state, stream)
    }
  }

  /** Puts a want into force. Null: nobody watches any more; all memory is released. */
  watch (want: GatherWant | null): void {
    this.isWatched = want !== null
    if (want === null) {
      this.reset()
      return
    }
    const { satellites, watched } = want
    if (satellites !== this.allSatellites) {
      this.allSatellites = satellites
      this.forget(this.table.generation)
      this.isLossy = false
    }
    if (watched.length !== this.watches.length || watched.some((id, index) => this.watches[index]?.id !== id)) {
      this.replaceWatches(watched)
    }
  }

  part (isFull: boolean): NewestPart {
    const satellites = isFull ? [] : [...this.changes(URGENT), ...this.changes(OTHER)]
    const { isLossy } = this
    this.isLossy = false
    return { satellites, more: this.urgent.length + this.others.length, isLossy, points: this.points() }
  }

  private takePoint (columns: PointColumns, point: number, state: number, stream: number): void {
    const satellite = columns.satellites[point] as Satellite
    const { index } = satellite
    if (this.owners[index] !== satellite) this.learn(satellite)
    const cell = index * this.metricCounts.length + stream
    const timeMicros = columns.timesMicros[point] as number
    if (this.allSatellites && timeMicros >= (this.times[cell] as number)) {
      this.times[cell] = timeMicros
      this.states[cell] = state
      const queued = this.queued[cell] as number
      if ((queued & URGENT) === 0 && state !== this.told[cell]) {
        this.urgent.push(cell)
        this.queued[cell] = queued | URGENT
      } else if (queued === 0) {
        this.others.push(cell)
        this.queued[cell] = OTHER
      }
    }
    const watch = this.watchOf[index] as number
    if (watch > 0) this.watches[watch - 1]?.streams[stream]?.take(columns, point, state)
  }

  private changes (queue: typeof URGENT | typeof OTHER): SatelliteChange[] {
    const waiting = queue === URGENT ? this.urgent : this.others
    const share = queue === URGENT ? waiting.length : Math.max(OTHERS_MIN, Math.ceil(waiting.length * OTHERS_SHARE))
    const { length: streams } = this.metricCounts
    return waiting.splice(0, Math.min(share, ENTRIES_MAX)).map((cell) => {
      this.queued[cell] = (this.queued[cell] as number) & ~queue
      const state = this.told[cell] = this.states[cell] as number
      const { id } = this.owners[Math.floor(cell / streams)] as Satellite
      return [id, (this.times[cell] as number) / 1000, state, cell % streams]
    })
  }

  private points (): NewestValues[] {
    const found: NewestValues[] = []
    let left = VALUES_MAX
    const watches = this.watches.flatMap(({ streams }) => streams)
    const { length } = watches
    for (let count = 0; count < length; count++) {
      const watch = watches[this.turn % length] as StreamWatch
      if (watch.fresh > left) break
      this.turn = (this.turn + 1) % length
      if (watch.fresh === 0) continue
      left -= watch.fresh
      found.push(watch.part())
    }
    return found
  }

  private replaceWatches (ids: readonly string[]): void {
    const before = new Map(this.watches.map((watch) => [watch.id, watch]))
    this.watches = ids.map((id) => before.get(id) ?? new Watch(id, this.metricCounts))
    this.watchById.clear()
    this.watchOf.fill(0)
    ids.forEach((id, index) => {
      this.watchById.set(id, index + 1)
      const satellite = this.table.known(id)
      // One of a refused body is not an owner, and will be forgotten.
      if (satellite !== null && this.owners[satellite.index] === satellite) this.watchOf[satellite.index] = index + 1
    })
  }

  private forget (generation: number): void {
    this.isLossy ||= this.urgent.length + this.others.length > 0
    this.generation = generation
    this.owners = []
    this.urgent = []
    this.others = []
  }

  private reset (): void {
    this.forget(this.table.generation)
    this.isLossy = false
    this.allSatellites = false
    this.watches = []
    this.watchById.clear()
    this.times = new Float64Array(0)
    this.states = new Uint8Array(0)
    this.told = new Uint8Array(0)
    this.queued = new Uint8Array(0)
    this.watchOf = new Uint16Array(0)
  }

  /** A satellite that is new, or new in this generation of its table. */
  private learn (satellite: Satellite): void {
    const { index } = satellite
    const { length: streams } = this.metricCounts
    if (index >= this.watchOf.length) this.grow(index + 1)
    const [first, end] = [index * streams, (index + 1) * streams]
    this.times.fill(-Infinity, first, end)
    this.told.fill(UNTOLD, first, end)
    this.queued.fill(0, first, end)
    this.watchOf[index] = this.watches.length === 0 ? 0 : this.watchById.get(satellite.id) ?? 0
    // No holes: an array that once had holes stays slow.
    while (this.owners.length < index) this.owners.push(satellite)
    this.owners[index] = satellite
  }

  private grow (countMin: number): void {
    const count = Math.max(FIRST_SATELLITES, countMin, this.watchOf.length * 2)
    const cells = count * this.metricCounts.length
    this.times = copyOf(new Float64Array(cells), this.times)
    this.states = copyOf(new Uint8Array(cells), this.states)
    this.told = copyOf(new Uint8Array(cells), this.told)
    this.queued = copyOf(new Uint8Array(cells), this.queued)
    this.watchOf = copyOf(new Uint16Array(count), this.watchOf)
  }
}

function copyOf<T extends Float64Array | Uint8Array | Uint16Array> (larger: T, smaller: T): T {
  larger.set(smaller)
  return larger
}
