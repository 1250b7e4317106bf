/**
 * Orphans: the spools of slots without a worker, left from a run with more workers or by a worker that was replaced
 * while it could not store. The first worker drains them, or another one while that is broken (primary/leftovers.ts).
 *
 *   found ─► open ─► drained, closed: the slot is free
 *     └─► refused ─► retried until it opens or its directory is moved away
 *     └─► unreadable: needs an operator, the next start tries again
 *
 * An orphan that cannot be opened does not affect new points; it is reported for as long as that lasts. Its lock is
 * kept from the first attempt on until it is drained: no other process may open it meanwhile, and releasing it takes a
 * file handle, which may be just what is missing.
 */
import { spoolDirectory, type Config } from '../config/settings.js'
import { OperatingError } from '../support/errors.js'
import { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import { realFiles } from '../spool/file-system.js'
import { listSlots, slotDirectory } from '../spool/slot-directories.js'
import type { Spool } from '../spool/spool.js'
import { lockSlot, openLockedSlot, type JournalHooks } from './open-journal.js'

export interface OrphansOptions {
  readonly config: Config
  readonly log: Log
  readonly hooks: JournalHooks
  /** Called once with each opened spool; resolves when it can be closed, which frees its slot. */
  readonly drain: (spool: Spool) => Promise<void>
  /** Default: a minute. Each attempt reads all frames of the spool. */
  readonly retryMs?: number
}

interface Failure {
  readonly complaint: string
  /** It may open later without being changed. */
  readonly again: boolean
}

const RETRY_MS = 60_000

export class Orphans {
  private readonly directory: string | null
  /** What is open of each slot. */
  private readonly open = new Map<number, Lifecycle>()
  private readonly failures = new Map<number, Failure>()
  private opening: Promise<void> = Promise.resolve()
  private timer: NodeJS.Timeout | null = null
  private stopped = false

  constructor (private readonly options: OrphansOptions) {
    this.directory = spoolDirectory(options.config)
  }

  /** Messages about the spools that cannot be opened. */
  get complaints (): readonly string[] {
    return Array.from(this.failures.values(), ({ complaint }) => complaint)
  }

  /** Slots that no worker may have: they are locked here, or will be as soon as they can be. */
  get slots (): readonly number[] {
    return [...new Set([...this.open.keys(), ...this.failures.keys()])]
  }

  /**
   * Opens all orphans that can be opened now and are not open yet; the others are retried. Rejects if the spool
   * directory is unreadable.
   */
  async openBeside (slotsInUse: readonly number[]): Promise<void> {
    const { directory } = this
    if (directory === null || this.stopped) return
    const slots = await listSlots(realFiles, directory)
    await this.openAll(directory, slots.filter((slot) => !slotsInUse.includes(slot) && !this.open.has(slot)))
  }

  /** Stops opening spools. */
  stop (): void {
    this.stopped = true
    if (this.timer !== null) clearTimeout(this.timer)
  }

  /** Closes all spools and releases their locks. */
  async close (): Promise<void> {
    this.stop()
    await this.opening
    await Promise.all(this.slots.map(async (slot) => { await this.free(slot) }))
  }

  private async free (slot: number): Promise<void> {
    await this.open.get(slot)?.release()
    this.open.delete(slot)
  }

  private async openAll (directory: string, slots: readonly number[]): Promise<void> {
    this.opening = this.opening.then(async () => { await this.openInTurn(directory, slots) })
    await this.opening
    const again = [...this.failures.values()].some((failure) => failure.again)
    if (!again || this.stopped) return
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = setTimeout(() => { void this.openAgain(directory) }, this.options.retryMs ?? RETRY_MS)
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
    // Another search has opened it meanwhile.
    if (this.open.has(slot) && !this.failures.has(slot)) return
    const { config, log, hooks, drain } = this.options
    const lifecycle = this.open.get(slot) ?? new Lifecycle()
    try {
      if (!this.open.has(slot)) await lockSlot(directory, lifecycle)
      this.open.set(slot, lifecycle)
      const spool = await openLockedSlot(directory, config, log, lifecycle, hooks)
      this.failures.delete(slot)
      if (this.stopped) return
      log.info({ slot, ...spool.backlog() }, 'draining the spool of a slot without a worker')
      void drain(spool).then(async () => {
        log.info({ slot }, 'the spool of a slot without a worker was drained')
        await this.free(slot)
      })
    } catch (error) {
      this.fail(slot, error)
    }
  }

  /** Logs the same cause once. */
  private fail (slot: number, error: unknown): void {
    const again = !(error instanceof OperatingError && error.code === 'spool_failed')
    const next = again ? 'retrying every minute' : 'the next start tries again'
    const reason = error instanceof Error ? error.message : String(error)
    const complaint = `the spool of slot-${slot}, which has no worker, cannot be opened; ` +
      `its points stay on disk; ${next}. ${reason}`
    if (this.failures.get(slot)?.complaint !== complaint) this.options.log.error({ slot, err: error }, complaint)
    this.failures.set(slot, { complaint, again })
  }
}
