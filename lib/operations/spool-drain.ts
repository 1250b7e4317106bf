/**
 * Drains the spools of all slots into the database without a server. The caller holds the instance's locks.
 *
 * A few slots are drained concurrently, each as a worker would do it. A slot whose ledger does not fit, or that cannot
 * be opened, keeps its frames and does not affect the others.
 */
import type { Catalogue } from '../../protocol/catalogue.js'
import { ChangeLimits } from '../limits/change-limits.js'
import type { NumberedLimits } from '../limits/limit-set.js'
import type { Config } from '../config/settings.js'
import { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import { slotDirectory } from '../spool/slot-directories.js'
import type { Spool } from '../spool/spool.js'
import { openSlot } from '../lane/open-journal.js'
import { Lane } from '../lane/lane.js'

/** Slots drained concurrently; each has a database connection. */
const LANES_MAX = 4

export interface SlotDrain {
  readonly slot: number
  stored: number
  /** Rows that PostgreSQL refused. */
  quarantined: number
  /** Rows left; null: the slot has not been opened. */
  waiting: number | null
  /** Why it was not emptied; null: it was, or is being drained. */
  reason: string | null
}

export interface SpoolDrainOptions {
  /** Of the database. */
  readonly catalogue: Catalogue
  /** Of the database; null: it has none yet. */
  readonly limits: NumberedLimits | null
  readonly config: Config
  readonly databaseUrl: string
  readonly spoolDirectory: string
  readonly slots: readonly number[]
  readonly log: Log
}

export class SpoolDrain {
  /** Progress of each slot. */
  readonly slots: readonly SlotDrain[]

  private readonly changeLimits: ChangeLimits | null

  constructor (private readonly options: SpoolDrainOptions) {
    const { limits, catalogue } = options
    this.changeLimits = limits === null ? null : new ChangeLimits(limits, catalogue.streams).orNull
    this.slots = options.slots.map((slot) => ({ slot, stored: 0, quarantined: 0, waiting: null, reason: null }))
  }

  /** Resolves when every slot is empty or has a reason. After `signal` the remaining frames stay in the spool. */
  async run (signal: AbortSignal): Promise<void> {
    const queue = this.slots.values()
    await Promise.all(Array.from({ length: LANES_MAX }, async () => {
      for (const slot of queue) await this.drainSlot(slot, signal)
    }))
  }

  private async drainSlot (state: SlotDrain, signal: AbortSignal): Promise<void> {
    if (signal.aborted) {
      state.reason = 'not started'
      return
    }
    const { config, log, spoolDirectory } = this.options
    const lifecycle = new Lifecycle()
    try {
      const spool = await openSlot(slotDirectory(spoolDirectory, state.slot), config, log, lifecycle, {
        onFatal: (error) => log.error({ err: error, slot: state.slot }, 'the spool cannot be written'),
        onFault: (message) => log.error({ slot: state.slot }, message),
        onSync: () => {}
      })
      await this.empty(spool, state, signal)
    } catch (error) {
      state.reason = error instanceof Error ? error.message : String(error)
    } finally {
      await lifecycle.release()
    }
  }

  private async empty (spool: Spool, state: SlotDrain, signal: AbortSignal): Promise<void> {
    const lane = new Lane({
      catalogue: this.options.catalogue,
      journal: spool,
      databaseUrl: this.options.databaseUrl,
      listener: 'http',
      // Spooled frames are usually small.
      directCompress: false,
      applicationName: `orbitstream drain of slot ${state.slot}`,
      log: this.options.log,
      changeLimits: () => this.changeLimits,
      onCommitted: (stored) => {
        state.stored += stored
        state.quarantined = lane.quarantined
        state.waiting = spool.backlog().rows
      }
    })
    const stop = (): void => {
      lane.drain.close()
      spool.interrupt()
    }
    state.waiting = spool.backlog().rows
    // Nothing will be appended: the drain ends when the spool is empty.
    spool.end()
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    await lane.drained
    signal.removeEventListener('abort', stop)
    const { frames, rows } = spool.backlog()
    state.waiting = rows
    if (frames > 0) state.reason = lane.drain.lastError ?? 'stopped before it was empty'
    else if (lane.drain.state === 'halted') state.reason = lane.drain.lastError
  }
}
