/** `spool drain`: stores every slot's points while no server runs, for instance before decommissioning a host. */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { readProposed } from '../catalogue/catalogue-proposal.js'
import type { Config } from '../../../config/settings.js'
import { lockInstance, openDatabase } from '../../../primary/instance.js'
import { SpoolDrain, type SlotDrain } from '../../../operations/spool-drain.js'
import { Lifecycle } from '../../../support/lifecycle.js'
import type { Log } from '../../../support/log.js'
import { realFiles } from '../../../spool/file-system.js'
import { listSlots } from '../../../spool/slot-directories.js'
import { connect } from '../../../database/connection.js'
import { readLimits } from '../../../queries/limits-store.js'
import { migrateSchema } from '../../../schema/migrate.js'
import { DAY_MS, formatCount, formatDuration } from '../../../config/setting-types.js'
import { defineCommand } from '../../command.js'
import { onSignals } from '../../signals.js'
import { counted } from '../../table.js'
import { CONNECT_TIMEOUT_MS, errorLog, existingSpoolDirectory } from '../database.js'

const IN_LOG = 'any server that runs with this log and database stores what others left there, LOG_TAKEOVER after ' +
  'they were last seen. spool inspect shows what is left.'
const PROGRESS_INTERVAL_MS = 1_000

/** Opens everything that a server would; the lifecycle closes it. */
async function prepare (
  config: Config, proposed: Catalogue | null, spoolDirectory: string, log: Log, lifecycle: Lifecycle
): Promise<SpoolDrain> {
  await lockInstance(config, log, lifecycle)
  const databaseUrl = await openDatabase(config, log, lifecycle)
  const db = await connect(databaseUrl, { applicationName: 'orbitstream drain', connectTimeoutMs: CONNECT_TIMEOUT_MS })
  try {
    const { catalogue } = await migrateSchema(db, { log, proposed })
    const slots = await listSlots(realFiles, spoolDirectory)
    const limits = await readLimits(db, catalogue.limitable)
    return new SpoolDrain({ config, databaseUrl, catalogue, limits, spoolDirectory, slots, log })
  } finally {
    await db.close()
  }
}

function progressLine (slots: readonly SlotDrain[]): string {
  const sum = (valueOf: (slot: SlotDrain) => number): number => slots.reduce((total, slot) => total + valueOf(slot), 0)
  const closed = slots.filter(({ waiting, reason }) => waiting === null && reason === null).length
  return `${counted(sum(({ stored }) => stored), 'row')} stored, ` +
    `${formatCount(sum(({ waiting }) => waiting ?? 0))} pending` +
    (closed === 0 ? '' : `, ${counted(closed, 'slot')} to go`)
}

function outcomeLine ({ slot, stored, quarantined, waiting, reason }: SlotDrain): string {
  const refused = quarantined === 0
    ? ''
    : `, ${formatCount(quarantined)} refused by PostgreSQL (see quarantine list)`
  const rest = waiting === null ? 'not opened' : `${counted(waiting, 'row')} left`
  return `slot-${slot}: ${counted(stored, 'row')} stored${refused}, ${reason === null ? 'empty' : rest}`
}

/** Drains until everything is stored, a signal arrives or the time is up. */
async function drainWithProgress (
  drain: SpoolDrain,
  abort: AbortController,
  timeoutMs: number,
  print: (text: string) => void
): Promise<void> {
  let shown = ''
  const progress = setInterval(() => {
    const line = progressLine(drain.slots)
    if (line !== shown) print(line)
    shown = line
  }, PROGRESS_INTERVAL_MS)
  const deadline = setTimeout(() => abort.abort(), timeoutMs)
  try {
    await drain.run(abort.signal)
  } finally {
    clearInterval(progress)
    clearTimeout(deadline)
  }
}

export const spoolDrain = defineCommand({
  name: 'spool drain',
  summary: 'Store all points pending on disk, with no server running.',
  options: [
    {
      name: 'timeout',
      type: 'duration',
      min: 1,
      // A timer cannot wait longer: it would fire at once.
      max: 24 * DAY_MS,
      default: '10m',
      help: 'Time limit; points left by then stay on disk.'
    }
  ],
  settings: ['dataDir', 'spoolDir', 'catalogue', 'databaseUrl', 'memoryMaxBytes', 'logLevel'],
  async run ({ config, values, print, complain }) {
    const directory = await existingSpoolDirectory(config, IN_LOG)
    if (directory === null) {
      print('SPOOL_DIR is off: there are no points on disk.')
      return 0
    }
    const proposed = await readProposed(config, complain)
    if (proposed === undefined) return 2
    const abort = new AbortController()
    const signals = onSignals(complain, () => abort.abort())
    const lifecycle = new Lifecycle()
    const startedMs = performance.now()
    try {
      const drain = await prepare(config, proposed, directory, errorLog(config, 'drain'), lifecycle)
      await drainWithProgress(drain, abort, values.timeout, print)
      for (const slot of drain.slots) print(outcomeLine(slot))
      const failed = drain.slots.filter(({ reason }) => reason !== null)
      for (const { slot, reason } of failed) complain(`error: slot-${slot} was not emptied: ${reason}`)
      if (failed.length === 0) print('The spool is empty.')
      else if (performance.now() - startedMs >= values.timeout) {
        complain(`Timed out after ${formatDuration(values.timeout)} (--timeout).`)
      }
      return failed.length === 0 ? 0 : 1
    } finally {
      await lifecycle.release()
      signals.release()
    }
  }
})
