/** `spool inspect` of a replicated log: its lanes by table, ledger and log. Works without the hosts that own them. */
import type { LogTarget } from '../../../config/log-target.js'
import type { Config } from '../../../config/settings.js'
import type { Database } from '../../../database/database.js'
import type { LedgerPosition } from '../../../journal/journal.js'
import { listLanes, readDeployment, type ListedLane } from '../../../lane/lane-table.js'
import { lookUpLedger } from '../../../operations/ledger.js'
import { connectLog } from '../../../replicated/jetstream.js'
import { pendingRows } from '../../../replicated/lane-backlog.js'
import type { FoundStream, ReplicatedLog } from '../../../replicated/replicated-log.js'
import { describePosition } from '../../../spool/format/position.js'
import { StartupError } from '../../../support/startup-error.js'
import { counted, table } from '../../table.js'
import { findDatabase } from '../database.js'

export interface LaneInspection extends ListedLane {
  readonly ledger: LedgerPosition | null
  /** Rows that the database does not have; null: the log was not asked. */
  readonly waitingRows: number | null
}

export interface LogInspection {
  readonly servers: readonly string[]
  /** `reason`: why the log does not answer; null: it does. */
  readonly log: { readonly reachable: boolean, readonly reason: string | null }
  readonly lanes: readonly LaneInspection[]
}

/** @throws {StartupError} without the database nobody knows which streams are its own */
export async function inspectLog (config: Config, target: LogTarget): Promise<LogInspection> {
  const db = await findDatabase(config)
  if (typeof db === 'string') {
    throw new StartupError(`only the database knows which lanes of the log belong to it: ${db}`)
  }
  try {
    return await inspect(config, target, db)
  } finally {
    await db.close()
  }
}

async function inspect (config: Config, target: LogTarget, db: Database): Promise<LogInspection> {
  const deployment = await readDeployment(db)
  let log: ReplicatedLog | null = null
  try {
    let reason: string | null = null
    let streams: readonly FoundStream[] = []
    try {
      log = await connectLog({ ...target, replicas: config.logReplicas, deployment, name: 'orbitstream inspect' })
      streams = await log.list()
    } catch (error) {
      reason = (error as Error).message
    }
    const lanes: LaneInspection[] = []
    for (const lane of await listLanes(db, config.logTakeoverMs)) {
      const ledger = (await lookUpLedger(db, lane.lane))?.position ?? null
      const own = streams.filter((stream) => stream.lane === lane.lane)
      const waitingRows = log === null || reason !== null ? null : await pendingRows(log, own, ledger)
      lanes.push({ ...lane, ledger, waitingRows })
    }
    return { servers: target.servers, log: { reachable: reason === null, reason }, lanes }
  } finally {
    await log?.close()
  }
}

function stateOf ({ closed, drainer, isSeen, instance }: LaneInspection): string {
  if (closed) return 'drained'
  if (!isSeen) return 'NOBODY: its server is away'
  return drainer === null || drainer === instance ? 'its server' : `server ${drainer}`
}

function laneTable (lanes: readonly LaneInspection[]): string {
  return table([
    ['lane', 'server', 'slot', 'stored by', 'seen', 'ledger', 'rows to store'],
    ...lanes.map((lane) => [
      lane.lane,
      lane.instance,
      String(lane.slot),
      stateOf(lane),
      `${Math.round(lane.seenAgoMs / 1000)} s ago`,
      lane.ledger === null ? 'none' : describePosition(lane.ledger),
      lane.waitingRows ?? 'unknown'
    ])
  ])
}

export function logText ({ servers, log, lanes }: LogInspection): string {
  const waiting = lanes.reduce((sum, { waitingRows }) => sum + (waitingRows ?? 0), 0)
  const left = lanes.filter(({ closed, isSeen }) => !closed && !isSeen)
  return [
    `Replicated log ${servers.join(', ')}`,
    ...(log.reason === null ? [] : [`The log could not be read, so what is pending is unknown: ${log.reason}`]),
    '',
    lanes.length === 0 ? 'no lanes' : laneTable(lanes),
    '',
    ...(log.reason === null ? [waiting === 0 ? 'Nothing is pending.' : `${counted(waiting, 'row')} pending.`] : []),
    ...(left.length === 0
      ? []
      : [`${counted(left.length, 'lane')} without a server: any that runs with this log and database takes over.`])
  ].join('\n')
}
