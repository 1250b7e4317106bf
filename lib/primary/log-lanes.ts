/** The primary's part in the replicated log: an id for each worker's lane, and the keeper of lanes without a writer. */
import { randomBytes } from 'node:crypto'
import { logTarget, type Config } from '../config/settings.js'
import type { DatabaseConnection } from '../database/database.js'
import { LaneKeeper } from '../lane/lane-keeper.js'
import { readDeployment } from '../lane/lane-table.js'
import { describeLog, openLog } from '../lane/open-log.js'
import type { LaneSettings } from '../messages/messages.js'
import type { Lifecycle } from '../support/lifecycle.js'
import type { Log } from '../support/log.js'
import type { Workers } from './workers.js'

export interface LanesOptions {
  readonly config: Config
  readonly log: Log
  readonly lifecycle: Lifecycle
  readonly signal: AbortSignal
  readonly instance: string
  readonly connect: (statementMsMax?: number) => Promise<DatabaseConnection>
  readonly workers: () => Workers | null
  readonly onWaiting: (reason: string | null) => void
}

export interface LogLanes {
  /** For a new worker. */
  settings (): LaneSettings
  readonly keeper: LaneKeeper
}

/** Connects to the log, and looks after lanes from now on; null: SPOOL_DIR is not a replicated log. */
export async function openLogLanes (options: LanesOptions): Promise<LogLanes | null> {
  const { config, log, lifecycle, instance, connect, workers } = options
  if (logTarget(config) === null) return null
  const db = await connect()
  const deployment = await readDeployment(db)
  await db.close()
  const replicated = await openLog({ ...options, deployment, name: 'orbitstream primary' })
  if (replicated === null) return null
  describeLog(replicated, log)
  const keeper = new LaneKeeper({
    connect,
    instance,
    takeOverMs: config.logTakeoverMs,
    log,
    writers: () => workers()?.lanes.own ?? [],
    canGive: () => workers()?.lanes.canDrain ?? false,
    give: (lane) => workers()?.lanes.drain(lane) ?? false,
    leave: (lane) => workers()?.lanes.leave(lane),
    halted: () => workers()?.lanes.halted ?? new Set(),
    list: async () => await replicated.list()
  })
  keeper.start()
  lifecycle.push('the keeper of lanes', async () => { await keeper.stop() })
  return { keeper, settings: () => ({ lane: randomBytes(16).toString('hex'), deployment }) }
}

/** What an acknowledgement is worth, in words: no more than what is known. */
export function acknowledgementOf (config: Pick<Config, 'spoolDir' | 'logReplicas'>): string {
  if (config.spoolDir === 'off') return 'committed: in the database'
  if (logTarget(config) === null) return 'spooled: on the disk of this host'
  const { logReplicas: replicas } = config
  return `replicated: to ${Math.floor(replicas / 2) + 1} of ${replicas} log servers, disk sync unknown`
}
