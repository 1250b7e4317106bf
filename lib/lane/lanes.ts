/**
 * The lanes of a worker: its own first, then those that drain the spools of slots without a worker. Accounts for every
 * point.
 */
import { logTarget, type Config } from '../config/settings.js'
import type { JournalBacklog } from '../journal/journal.js'
import { PointCounters } from '../pipeline/pipeline.js'
import type { Pipelines } from '../pipeline/pipelines.js'
import type { Lane } from './lane.js'
import type { WorkerReport } from '../messages/messages.js'

export type Snapshot = Pick<WorkerReport,
  'points' | 'waiting' | 'unspooled' | 'backlog' | 'pressure' | 'database' | 'halted'>

export type DrainOutcome = 'empty' | 'away' | 'deadline'

/** Why points are left over on shutdown. */
const CUT_SHORT = {
  away: 'database writes are failing, and shutdown does not wait for them',
  deadline: 'the shutdown deadline passed before all points were stored'
} as const

/** The same, and what becomes of them. */
export function describeLeftOver (outcome: keyof typeof CUT_SHORT, config: Pick<Config, 'spoolDir'>): string {
  const stored = logTarget(config) === null
    ? 'points in the spool are stored after the next start'
    : 'points in the log are stored by another server, or after the next start'
  const lost = 'without a spool they are lost, unless their senders send them again'
  return `${CUT_SHORT[outcome]}; ${config.spoolDir === 'off' ? lost : stored}`
}

/** Time that a shutdown gives an unavailable database to come back if all points are safe on disk. */
const AWAY_MS_MAX = 1_000
const AWAY_CHECK_INTERVAL_MS = 100

export class Lanes {
  private readonly lanes: Lane[] = []
  /** Of lanes that are over. */
  private readonly past = { points: new PointCounters(), retries: 0 }

  constructor (private readonly pipelines: Pipelines) {}

  add (lane: Lane): void {
    this.lanes.push(lane)
  }

  /** A lane is over: its counts stay, its memory goes. */
  remove (lane: Lane): void {
    this.lanes.splice(this.lanes.indexOf(lane), 1)
    addLane(this.past.points, lane)
    this.past.retries += lane.drain.retries
  }

  /** Everything at one instant. */
  snapshot (): Snapshot {
    const backlog = this.backlog()
    const failing = this.lanes.map(({ drain }) => drain).filter(({ lastError }) => lastError !== null)
    // Unlike the others, it needs an operator.
    const worst = failing.find(({ state }) => state === 'halted') ?? failing[0]
    return {
      points: this.points(),
      waiting: this.pipelines.openRows + backlog.rows,
      unspooled: this.pipelines.unspooled,
      backlog,
      pressure: this.lanes[0]?.journal.pressure() ?? 'none',
      database: {
        state: worst?.state ?? this.lanes[0]?.drain.state ?? 'connecting',
        lastError: worst?.lastError ?? null,
        retries: this.lanes.reduce((sum, { drain }) => sum + drain.retries, this.past.retries)
      },
      halted: this.lanes.filter(({ drain }) => drain.state === 'halted').map(({ journal }) => journal.spoolId)
    }
  }

  /** What is wrong with the journals, for as long as it is. */
  get complaints (): readonly string[] {
    const isAway = this.lanes.some(({ journal }) => journal.outage?.() === 'log_unavailable')
    return isAway ? ['the replicated log does not answer; points are refused until it does'] : []
  }

  /**
   * Ends the journals and waits until they are empty. Gives up at the deadline, or once the database is unavailable and
   * all waiting points are safe without it.
   * @param onDisk whether the journals outlive the process
   */
  async drain (deadlineMs: number, onDisk: boolean): Promise<DrainOutcome> {
    let outcome: DrainOutcome = 'empty'
    const cut = (why: DrainOutcome): void => {
      outcome = why
      for (const { drain, journal } of this.lanes) {
        drain.close()
        journal.interrupt()
      }
    }
    for (const { drain, journal } of this.lanes) {
      journal.end()
      drain.finish()
    }
    const deadline = setTimeout(() => { cut('deadline') }, deadlineMs)
    let awayMs = 0
    const watch = setInterval(() => {
      awayMs = onDisk && this.safeWithoutDatabase() ? awayMs + AWAY_CHECK_INTERVAL_MS : 0
      if (awayMs >= AWAY_MS_MAX) cut('away')
    }, AWAY_CHECK_INTERVAL_MS)
    await Promise.all(this.lanes.map(async ({ drained }) => { await drained }))
    clearTimeout(deadline)
    clearInterval(watch)
    return outcome
  }

  /** Every lane that still has work is retrying, and all its points are written. */
  private safeWithoutDatabase (): boolean {
    return this.lanes.every(({ drain, journal }) => drain.through || (drain.lastError !== null && journal.idle))
  }

  private points (): PointCounters {
    const { pipelines, past } = this
    const points = pipelines.snapshot()
    for (const outcome of Object.keys(points) as Array<keyof PointCounters>) points[outcome] += past.points[outcome]
    for (const lane of this.lanes) addLane(points, lane)
    return points
  }

  private backlog (): JournalBacklog {
    const backlogs = this.lanes.map(({ journal }) => journal.backlog())
    const sum = (key: 'frames' | 'rows' | 'bytes'): number =>
      backlogs.reduce((total, backlog) => total + backlog[key], 0)
    const oldestMs = Math.max(0, ...backlogs.map((backlog) => backlog.oldestMs))
    return { frames: sum('frames'), rows: sum('rows'), bytes: sum('bytes'), oldestMs }
  }
}

function addLane (points: PointCounters, { journal, quarantined }: Lane): void {
  points.recovered += journal.recoveredRows
  points.replicated += journal.replicatedRows ?? 0
  points.quarantined += quarantined
  points.lost += journal.lostRows
  points.committed += journal.releasedRows - quarantined
}
