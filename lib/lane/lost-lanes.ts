/** The lanes of the replicated log that a worker drains because their writers are gone. */
import type { Config } from '../config/settings.js'
import type { ReplicatedLog } from '../replicated/replicated-log.js'
import { openLostLane, type LostLane } from '../replicated/lost-lane.js'
import { rateLimited, type Log } from '../support/log.js'
import type { ClaimedLane } from './lane-table.js'

type DrainedLane = Pick<ClaimedLane, 'lane' | 'wasOpened' | 'isOld'>

export interface LostLanesOptions {
  /** Null: there is no replicated log. */
  readonly replicated: ReplicatedLog | null
  readonly config: Config
  readonly log: Log
  readonly onFault: (message: string) => void
  /** Called with each opened lane; resolves when nothing more of it will be stored; not at all if frames are left. */
  readonly drain: (lane: LostLane) => Promise<void>
  /** @param isRemoved its streams are gone */
  readonly onDrained: (lane: string, isRemoved: boolean) => void
  /** A lane is not drained here any more, though it is not over. */
  readonly onLeft: (lane: string) => void
  /** Default: RETRY_MS. */
  readonly retryMs?: number
}

const RETRY_MS = 5_000
const FAULT_LOG_INTERVAL_MS = 60_000

export class LostLanes {
  /** Lanes that are being drained; null: not opened yet. */
  private readonly open = new Map<string, LostLane | null>()
  private isStopped = false
  private readonly warn: ReturnType<typeof rateLimited>

  constructor (private readonly options: LostLanesOptions) {
    this.warn = rateLimited(options.log, FAULT_LOG_INTERVAL_MS)
  }

  add (claimed: DrainedLane): void {
    if (this.open.has(claimed.lane) || this.isStopped || this.options.replicated === null) return
    this.open.set(claimed.lane, null)
    void this.drain(this.options.replicated, claimed)
  }

  /** Another process has the lane: nothing more is read of it. */
  leave (lane: string): void {
    this.open.get(lane)?.leave()
  }

  /** Reads nothing more: what is left of these lanes is for others, and a shutdown does not wait for it. */
  stop (): void {
    this.isStopped = true
    for (const journal of this.open.values()) journal?.leave()
  }

  async close (): Promise<void> {
    this.stop()
    await Promise.all([...this.open.values()].map(async (journal) => { await journal?.close() }))
  }

  /** Never rejects. */
  private async drain (replicated: ReplicatedLog, claimed: DrainedLane): Promise<void> {
    const { config, log, onFault, drain, onDrained, onLeft, retryMs = RETRY_MS } = this.options
    const { lane, wasOpened, isOld } = claimed
    try {
      const journal = await openLostLane(replicated, {
        log: replicated,
        lane,
        now: Date.now,
        maxBytes: config.spoolMaxBytes,
        hadStreams: wasOpened && !isOld,
        onFault
      })
      if (this.isStopped) return
      this.open.set(lane, journal)
      await drain(journal)
      if (journal.isRead) log.info({ lane }, 'a lane of the log that had no writer was drained')
      if (journal.isRead && isOld) await journal.remove()
      await journal.close()
      this.open.delete(lane)
      if (journal.isRead) onDrained(lane, isOld)
      else onLeft(lane)
    } catch (error) {
      this.warn({ err: error, lane }, 'a lane of the log cannot be drained; retrying')
      await this.open.get(lane)?.close()
      // Others first: this one is claimed again when it is its turn.
      setTimeout(() => {
        this.open.delete(lane)
        if (!this.isStopped) onLeft(lane)
      }, retryMs).unref()
    }
  }
}
