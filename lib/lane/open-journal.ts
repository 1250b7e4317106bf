/** The journal of a worker's slot: a spool, a lane of a replicated log, or memory if SPOOL_DIR is off. */
import { spoolDirectory, writersOf, type Config } from '../config/settings.js'
import type { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { MemoryJournal } from '../journal/memory-journal.js'
import { LogJournal } from '../replicated/log-journal.js'
import type { ReplicatedLog } from '../replicated/replicated-log.js'
import { ROW_FORMAT } from '../pipeline/rows/payload.js'
import { realFiles } from '../spool/file-system.js'
import { describeGap, type Gap } from '../spool/recover/gap.js'
import { slotDirectory } from '../spool/slot-directories.js'
import { openSpool } from '../spool/open-spool.js'
import type { Spool } from '../spool/spool.js'
import { lockDirectory } from '../host/data-directory.js'
import type { WorkerSettings } from '../messages/messages.js'

export interface JournalHooks {
  /** Nothing can be written any more. */
  readonly onFatal: (error: Error) => void
  /** Something about the replicated log that a person should know. */
  readonly onFault: (message: string) => void
  /** Each fdatasync, or acknowledgement of the replicated log, in milliseconds. */
  readonly onSync: (milliseconds: number) => void
}

/**
 * Opens the journal of the worker's slot; the lifecycle closes it.
 * @param replicated null: SPOOL_DIR is not a replicated log
 */
export async function openJournal (
  settings: WorkerSettings, replicated: ReplicatedLog | null, log: Log, lifecycle: Lifecycle, hooks: JournalHooks
): Promise<Journal> {
  const { config, slot, instanceId, epoch, lane } = settings
  if (replicated !== null && lane !== null) {
    const journal = new LogJournal({
      log: replicated,
      lane: lane.lane,
      instance: instanceId,
      slot,
      rowFormat: ROW_FORMAT,
      now: Date.now,
      memoryMaxBytes: config.memoryMaxBytes,
      maxBytes: Math.floor(config.spoolMaxBytes / writersOf(config)),
      onFault: hooks.onFault,
      onAcknowledged: hooks.onSync
    })
    lifecycle.push('the lane', async () => { await journal.close() })
    await journal.opened()
    return journal
  }
  const directory = spoolDirectory(config)
  if (directory === null) {
    const journal = new MemoryJournal({ spoolId: `${instanceId}/${slot}`, epoch, bytesMax: config.memoryMaxBytes })
    lifecycle.push('the in-memory journal', async () => { await journal.close() })
    return journal
  }
  return await openSlot(slotDirectory(directory, slot), config, log, lifecycle, hooks)
}

/** Locks a slot and opens its spool; the lifecycle closes it and releases the lock. */
export async function openSlot (
  directory: string, config: Config, log: Log, lifecycle: Lifecycle, hooks: JournalHooks
): Promise<Spool> {
  await lockSlot(directory, lifecycle)
  return await openLockedSlot(directory, config, log, lifecycle, hooks)
}

/** Locks a slot's directory for this process; the lifecycle releases it. */
export async function lockSlot (directory: string, lifecycle: Lifecycle): Promise<void> {
  await realFiles.makeDirectory(directory)
  const lock = await lockDirectory(directory, 'spool slot')
  lifecycle.push('the spool slot lock', () => lock.release())
}

/** As openSlot(), for a slot that is already locked. Leaves nothing open if it rejects. */
export async function openLockedSlot (
  directory: string, config: Config, log: Log, lifecycle: Lifecycle, hooks: JournalHooks
): Promise<Spool> {
  const reportGap = (gap: Gap): void => { log.error({ gap }, `the spool is damaged: ${describeGap(gap)}`) }
  const { spool, recovery } = await openSpool({
    files: realFiles,
    directory,
    rowFormat: ROW_FORMAT,
    // The limit is divided among the workers.
    maxBytes: Math.floor(config.spoolMaxBytes / writersOf(config)),
    reserveBytes: config.spoolReserveBytes,
    memoryMaxBytes: config.memoryMaxBytes,
    onFatal: hooks.onFatal,
    onSync: hooks.onSync,
    onGap: reportGap
  })
  lifecycle.push('the spool', async () => { await spool.close() })
  recovery.gaps.forEach(reportGap)
  if (recovery.frames > 0 || recovery.tornBytes > 0) {
    log.info({ ...recovery, gaps: recovery.gaps.length }, 'the spool was recovered')
  }
  return spool
}
