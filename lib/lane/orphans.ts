/**
 * The spools of slots that no worker owns any more, since there were more workers once: the first worker drains them.
 *
 *   found ─► open ─► given to be drained
 *     └─► refused ─► tried again after a while, until it opens or its directory is moved away
 *     └─► unreadable: somebody must look at it, the next start tries again
 *
 * One that cannot be opened keeps nobody from sending new points, and has a complaint for as long as that is so. Its lock
 * is kept from the first time on: nobody else may open it while this program runs, and to give it back takes a file
 * handle, which may be what is missing.
 */
import { spoolDirectory, writersOf, type Config } from '../config/config.js'
import { OperatingError } from '../support/errors.js'
import { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import { realFiles } from '../spool/files.js'
import { listSlots, slotDirectory } from '../spool/slots.js'
import type { Spool } from '../spool/spool.js'
import { lockSlot, openLockedSlot, type JournalHooks } from './open-journal.js'

export interface OrphansOptions {
  readonly config: Config
  readonly log: Log
  readonly hooks: JournalHooks
  /** Gets each spool that was opened, once. */
  readonly drain: (spool: Spool) => void
  /** Without it a minute: each time all that waits in the spool is read. */
  readonly retryMs?: number
}

interface Failure {
  readonly complaint: string
  /** It may open later as it stands. */
  readonly again: boolean
}

const RETRY_MS = 60_000

export class Orphans {
  private readonly directory: string | null
  private readonly lifecycle = new Lifecycle()
  private readonly locked = new Set<number>()
  private readonly failures = new Map<number, Failure>()
  private opening: Promise<void> = Promise.resolve()
  private timer: NodeJS.Timeout | null = null
  private stopped = false

  constructor (private readonly options: OrphansOptions) {
    this.directory = spoolDirectory(options.config)
  }

  /** Of those that cannot be opened, for people. */
  get complaints (): readonly string[] {
    return Array.from(this.failures.values(), ({ complaint }) => complaint)
  }

  /** Opens what can be opened now; the others follow. Rejects if the spool directory cannot be read. */
  async open (): Promise<void> {
    if (this.directory === null) return
    const slots = await listSlots(realFiles, this.directory)
    await this.openAll(this.directory, slots.filter((slot) => slot >= writersOf(this.options.config)))
  }

  /** None is given out from now on. */
  stop (): void {
    this.stopped = true
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /** Closes all of them and gives their locks back. */
  async close (): Promise<void> {
    this.stop()
    await this.opening
    await this.lifecycle.release()
  }

  private async openAll (directory: string, slots: readonly number[]): Promise<void> {
    this.opening = this.openInTurn(directory, slots)
    await this.opening
    const again = [...this.failures.values()].some((failure) => failure.again)
    if (again && !this.stopped) this.timer = setTimeout(() => { void this.openAgain(directory) }, this.options.retryMs ?? RETRY_MS)
  }

  /** Never rejects. */
  private async openInTurn (directory: string, slots: readonly number[]): Promise<void> {
    for (const slot of slots) {
      if (!this.stopped) await this.openOne(slot, slotDirectory(directory, slot))
    }
  }

  private async openAgain (directory: string): Promise<void> {
    const there = await listSlots(realFiles, directory).catch(() => [...this.failures.keys()])
    for (const slot of this.failures.keys()) {
      if (!there.includes(slot)) this.failures.delete(slot)
    }
    await this.openAll(directory, there.filter((slot) => this.failures.get(slot)?.again === true))
  }

  private async openOne (slot: number, directory: string): Promise<void> {
    const { config, log, hooks, drain } = this.options
    try {
      if (!this.locked.has(slot)) await lockSlot(directory, this.lifecycle)
      this.locked.add(slot)
      const spool = await openLockedSlot(directory, config, log, this.lifecycle, hooks)
      this.failures.delete(slot)
      if (this.stopped) return
      log.info({ slot, ...spool.backlog() }, 'draining the spool of a slot that no worker owns any more')
      drain(spool)
    } catch (error) {
      this.fail(slot, error)
    }
  }

  /** The same cause is logged once. */
  private fail (slot: number, error: unknown): void {
    const again = !(error instanceof OperatingError && error.code === 'spool_failed')
    const until = again ? 'it can be; it is tried again every minute' : 'a start that can'
    const complaint = `the spool of slot-${slot}, which no worker owns any more, cannot be opened, and its points wait until ${until}. ${error instanceof Error ? error.message : String(error)}`
    if (this.failures.get(slot)?.complaint !== complaint) this.options.log.error({ slot, err: error }, complaint)
    this.failures.set(slot, { complaint, again })
  }
}
