/** The journal of a worker's slot: the spool, or memory where SPOOL_DIR is off. */
import { spoolDirectory, writersOf, type Config } from '../config/config.js'
import type { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import type { Journal } from '../journal/journal.js'
import { MemoryJournal } from '../journal/memory-journal.js'
import { ROW_FORMAT } from '../pipeline/rows/payload.js'
import { realFiles } from '../spool/files.js'
import { describeGap } from '../spool/recover/gap.js'
import { slotDirectory } from '../spool/slots.js'
import { openSpool, type Spool } from '../spool/spool.js'
import { lockDirectory } from '../host/data-directory.js'
import type { WorkerSettings } from '../messages/messages.js'

export interface JournalHooks {
  /** Nothing can be written any more. */
  readonly onFatal: (error: Error) => void
  /** Each fdatasync, in milliseconds. */
  readonly onSync: (milliseconds: number) => void
}

/** Opens the journal of the worker's slot; the lifecycle closes it. */
export async function openJournal (settings: WorkerSettings, log: Log, lifecycle: Lifecycle, hooks: JournalHooks): Promise<Journal> {
  const { config, slot, instanceId, epoch } = settings
  const directory = spoolDirectory(config)
  if (directory === null) {
    const journal = new MemoryJournal({ spoolId: `${instanceId}/${slot}`, epoch, bytesMax: config.memoryMaxBytes })
    lifecycle.push('the journal in memory', async () => { await journal.close() })
    return journal
  }
  return await openSlot(slotDirectory(directory, slot), config, log, lifecycle, hooks)
}

/** Opens the spool of one slot, which nobody else may have open; the lifecycle closes it and gives its lock back. */
export async function openSlot (directory: string, config: Config, log: Log, lifecycle: Lifecycle, hooks: JournalHooks): Promise<Spool> {
  await lockSlot(directory, lifecycle)
  return await openLockedSlot(directory, config, log, lifecycle, hooks)
}

/** Makes the directory of a slot this process's own, until the lifecycle ends. */
export async function lockSlot (directory: string, lifecycle: Lifecycle): Promise<void> {
  await realFiles.makeDirectory(directory)
  const lock = await lockDirectory(directory, 'spool slot')
  lifecycle.push('the lock of the spool slot', () => lock.release())
}

/** As openSlot(), for a slot that is locked. One that cannot be opened leaves nothing open. */
export async function openLockedSlot (directory: string, config: Config, log: Log, lifecycle: Lifecycle, hooks: JournalHooks): Promise<Spool> {
  const { spool, recovery } = await openSpool({
    files: realFiles,
    directory,
    rowFormat: ROW_FORMAT,
    // The bound is shared out over the workers.
    maxBytes: Math.floor(config.spoolMaxBytes / writersOf(config)),
    reserveBytes: config.spoolReserveBytes,
    memoryMaxBytes: config.memoryMaxBytes,
    onFatal: hooks.onFatal,
    onSync: hooks.onSync,
    onGap: (gap) => log.error({ gap }, `damage in the spool: ${describeGap(gap)}`)
  })
  lifecycle.push('the spool', async () => { await spool.close() })
  for (const gap of recovery.gaps) log.error({ gap }, `damage in the spool: ${describeGap(gap)}`)
  if (recovery.frames > 0 || recovery.tornBytes > 0) log.info({ ...recovery, gaps: recovery.gaps.length }, 'the spool was recovered')
  return spool
}
