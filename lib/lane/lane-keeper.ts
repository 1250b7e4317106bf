/**
 * Sees to it that every lane of the replicated log is drained by somebody. Runs in the primary of each server.
 *
 *   every 2 s:  these lanes have writers here, these are drained here      (ingest_lanes.seen_at)
 *               lanes without either: claim, and give to a worker
 *   every 10 s: streams in the log that the table does not know            (a writer that died before it was noted)
 *
 * A lane of another server is claimed once that server has not been seen for LOG_TAKEOVER. While the database is away
 * nobody is seen; so a server claims others' lanes only after it has itself reached the database for that long. If a
 * server was only slow, two drain one lane until the other one finds that its writer is back, and leaves it: meanwhile
 * the ledger decides who stores a frame.
 */
import type { Database } from '../database/database.js'
import type { FoundStream } from '../replicated/replicated-log.js'
import { LogError } from '../replicated/replicated-log.js'
import { rateLimited, type Log } from '../support/log.js'
import {
  claimLanes, forgetLanes, noteClock, noteClosed, noteDrainer, noteFound, noteWriters, type ClaimedLane, type OwnLane
} from './lane-table.js'

const BEAT_INTERVAL_MS = 2_000
const BEATS_PER_SEARCH = 5
/** An hour. */
const BEATS_PER_FORGETTING = 1_800
/** Lanes of others drained at a time; each has a connection to the database. */
export const LOST_LANES_MAX = 4
/** Besides, those whose ledger does not fit: they wait, without a connection, until it does. */
export const HALTED_LANES_MAX = 16
/** Lanes that cannot be read are claimed again and again: each is named once. */
const TOLD_MAX = 1_000
const FAULT_LOG_INTERVAL_MS = 60_000
/** The statements are small: one that takes longer has lost its server. Meanwhile other servers see nobody here. */
const STATEMENT_MS_MAX = 10_000

export interface LaneKeeperOptions {
  /** @param statementMsMax see ConnectOptions */
  readonly connect: (statementMsMax: number) => Promise<Database>
  /** Id of this server. */
  readonly instance: string
  readonly takeOverMs: number
  readonly log: Log
  /** Lanes with writers here. */
  readonly writers: () => readonly OwnLane[]
  /** A worker is ready to drain lanes. */
  readonly canGive: () => boolean
  /** Gives a lane to a worker to drain; false: none is ready. */
  readonly give: (lane: ClaimedLane) => boolean
  /** Has the worker that drains a lane leave it; dropped() follows. Called again until then. */
  readonly leave: (lane: string) => void
  /** Lanes here that wait for a ledger that fits. */
  readonly halted: () => ReadonlySet<string>
  readonly list: () => Promise<readonly FoundStream[]>
  /** Default: BEAT_INTERVAL_MS. */
  readonly intervalMs?: number
}

export class LaneKeeper {
  private db: Database | null = null
  /** Since when each beat has reached the database; null: the last did not. */
  private steadySinceMs: number | null = null
  /** Lanes without writers that the log has named. */
  private readonly told = new Set<string>()
  /** Lanes of others, or of workers that died, that are drained here. */
  private readonly draining = new Set<string>()
  private readonly closed: Array<{ readonly lane: string, readonly isRemoved: boolean }> = []
  private beats = 0
  private timer: NodeJS.Timeout | null = null
  private running: Promise<void> = Promise.resolve()
  private isStopped = false
  private readonly warn: ReturnType<typeof rateLimited>

  constructor (private readonly options: LaneKeeperOptions) {
    this.warn = rateLimited(options.log, FAULT_LOG_INTERVAL_MS)
  }

  start (): void {
    this.running = this.beat().finally(() => {
      if (!this.isStopped) this.timer = setTimeout(() => { this.start() }, this.options.intervalMs ?? BEAT_INTERVAL_MS)
    })
  }

  async stop (): Promise<void> {
    this.isStopped = true
    if (this.timer !== null) clearTimeout(this.timer)
    await this.running
    await this.flush().catch(() => {})
    await this.db?.close()
  }

  /** A lane is over: everything in it is stored. @param isRemoved its streams are gone */
  drained (lane: string, isRemoved: boolean): void {
    this.draining.delete(lane)
    this.told.delete(lane)
    this.closed.push({ lane, isRemoved })
  }

  /** Nobody drains these lanes here any more, though they are not over: they are claimed again. */
  dropped (lanes: readonly string[]): void {
    for (const lane of lanes) this.draining.delete(lane)
  }

  /** Never rejects. */
  private async beat (): Promise<void> {
    try {
      await this.work()
    } catch (error) {
      this.steadySinceMs = null
      this.warn({ err: error }, 'lanes of the replicated log are unattended: the database cannot be reached')
      this.db?.destroy()
      this.db = null
    }
    this.beats++
  }

  private async work (): Promise<void> {
    const { options, draining } = this
    const { instance, takeOverMs, writers } = options
    const db = this.db ??= await options.connect(STATEMENT_MS_MAX)
    const own = writers()
    await noteWriters(db, instance, own)
    for (const lane of await noteDrainer(db, instance, [...draining])) options.leave(lane)
    await this.flush()
    if (this.beats % BEATS_PER_SEARCH === 0) await noteClock(db)
    if (this.beats % BEATS_PER_SEARCH === 0) await this.search(db)
    if (this.beats % BEATS_PER_FORGETTING === 0) await forgetLanes(db)
    const nowMs = performance.now()
    this.steadySinceMs ??= nowMs
    const { room } = this
    // What is claimed here is kept from other servers.
    if (room <= 0 || this.isStopped || !options.canGive()) return
    const mayTakeOthers = nowMs - this.steadySinceMs >= takeOverMs
    const busy = [...own.map(({ lane }) => lane), ...draining]
    for (const lane of await claimLanes(db, instance, busy, mayTakeOthers ? takeOverMs : null, room)) this.give(lane)
  }

  /** For so many more lanes. */
  private get room (): number {
    const halted = this.options.halted()
    const busy = [...this.draining].filter((lane) => !halted.has(lane)).length
    return Math.min(LOST_LANES_MAX - busy, LOST_LANES_MAX + HALTED_LANES_MAX - this.draining.size)
  }

  private give (lane: ClaimedLane): void {
    // A worker may have begun while the claim was under way.
    if (this.options.writers().some((own) => own.lane === lane.lane) || !this.options.give(lane)) return
    this.draining.add(lane.lane)
    const { isOld, wasOpened, ...what } = lane
    if (isOld || this.told.has(lane.lane)) return
    if (this.told.size >= TOLD_MAX) this.told.clear()
    this.told.add(lane.lane)
    this.options.log.info(what, 'draining a lane of the log that has no writer')
  }

  private async search (db: Database): Promise<void> {
    try {
      const found = await this.options.list()
      if (found.length > 0) await noteFound(db, found)
    } catch (error) {
      if (!(error instanceof LogError)) throw error
      this.warn({ err: error }, 'the streams of the log cannot be listed')
    }
  }

  private async flush (): Promise<void> {
    for (let next = this.closed[0]; next !== undefined && this.db !== null; next = this.closed[0]) {
      await noteClosed(this.db, this.options.instance, next.lane, next.isRemoved)
      this.closed.shift()
    }
  }
}
