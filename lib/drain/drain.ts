/**
 * Takes frames from the journal and commits them. Owns the worker's connection for COPY.
 *
 * After a failure the outcome of the last transaction is unknown: the ledger is read again, the journal releases what
 * it covers and returns the rest once more. A transaction is counted in the same turn of the event loop in which its
 * frames are released, so that every point is either waiting or counted, never both.
 *
 * States
 *
 *   connecting ──► ready ⇄ retrying
 *       └────────────┬─────────┘
 *                    ├──► ended
 *                    └──► halted ──► retrying
 *
 * - connecting: nothing has been stored yet.
 * - ready: storing, or waiting for frames. Entered once the ledger was read and no frames wait, or by a COMMIT.
 * - retrying: something failed. The connection was closed; after a pause everything begins again with a new one.
 * - halted: the ledger does not fit the journal. Final, unless the drain waits: then nothing is stored until it fits.
 * - ended: the journal was ended and is empty, or the drain was closed while it waited for frames. Final.
 */
import type { Catalogue } from '../../protocol/catalogue.js'
import type { FrameRun, Journal, LedgerFault, LedgerPosition, Position } from '../journal/journal.js'
import type { ChangeLimits } from '../limits/change-limits.js'
import type { Log } from '../support/log.js'
import { StateMachine } from '../support/state-machine.js'
import { anomalyRowEnd } from '../pipeline/rows/anomaly-rows.js'
import { anomaliesOf, anomalyCountOf } from '../pipeline/rows/payload.js'
import { CopySorter, type CopyStream } from './copy-rows.js'
import { Changes, collectValues, type FoundChanges } from './changes.js'
import {
  commitRun, enterLedger, readLedger, rowsOf, type CommitRows, type LedgerMove, type StreamRows
} from './commit.js'
import type { DirectCompress } from './direct-compress.js'
import { isUnanswered } from '../database/connection.js'
import type { Database } from '../database/database.js'
import { separateRefused } from './missing-partition.js'
import { isDataError, separateRun } from './poison.js'
import { Backoff } from '../support/backoff.js'
import { Pace } from './pace.js'
import { Promotion, type FindLostCommits } from './promotion.js'
import { StreamSorters, StreamTable } from './stream-runs.js'

export type DrainState = 'connecting' | 'ready' | 'retrying' | 'halted' | 'ended'

export interface DrainOptions {
  readonly journal: Journal
  /** Whose streams it stores. */
  readonly catalogue: Catalogue
  /** @param statementMsMax see ConnectOptions */
  readonly connect: (statementMsMax: number) => Promise<Database>
  readonly log: Log
  /** Whether a new connection compresses large COPYs directly; default: none does. */
  readonly directCompress?: (db: Database) => Promise<DirectCompress>
  /**
   * The ledger is behind what was committed, on a server that was promoted since: whether the database lacks these
   * commits, but all their frames are still on disk, so that a new process can store them again. Default: never.
   */
  readonly findLostCommits?: FindLostCommits
  /** A ledger that does not fit is read again until it does; default: the drain is through. */
  readonly waitsForLedger?: boolean
  /** The limits on change in force; null: there is none. Default: none. */
  readonly changeLimits?: () => ChangeLimits | null
  /** After a COMMIT with anomalies of limits on change. */
  readonly onChanges?: (found: FoundChanges) => void
  /** Bound on the rows of one COPY. */
  readonly copyBytesMax: number
  /** Minimum time from the start of one transaction to the start of the next while nobody waits for a commit. */
  readonly intervalMs: number
  /** After each COMMIT: points stored, points quarantined, and the duration of the transaction. */
  readonly onCommitted: (stored: number, quarantined: number, milliseconds: number) => void
}

interface Started {
  /** Points refused by the database. */
  readonly quarantined: number
  readonly startedMs: number
}

/** A transaction that was begun, to be counted once it is known to have committed. */
interface Attempt extends Started {
  /** The ledger's position if it did. */
  readonly end: Position
  readonly stored: number
  readonly changes: Changes | null
}

const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 5_000
/** A statement takes a second at most unless the table is locked or the disk overloaded. */
const STATEMENT_MS_MIN = 60_000
/** The limit doubles with each timeout up to this: an hour-long lock must not queue hundreds of sessions. */
const STATEMENT_MS_MAX = 960_000

const LOST_COMMITS = 'The database has lost commits, as after a fail-over to a standby that lagged behind. ' +
  'All frames after that position are on disk, and none is in the database: a new process stores them again.'

const TRANSITIONS: Readonly<Record<DrainState, readonly DrainState[]>> = {
  connecting: ['ready', 'retrying', 'halted', 'ended'],
  ready: ['ready', 'retrying', 'halted', 'ended'],
  retrying: ['ready', 'retrying', 'halted', 'ended'],
  halted: ['halted', 'retrying'],
  ended: []
}

export class Drain {
  /** The last failure; null: none since the last success. */
  lastError: string | null = null
  /** Number of failures so far. */
  retries = 0
  private readonly machine = new StateMachine<DrainState>('drain', 'connecting', TRANSITIONS)
  /** Of the current session. */
  private db: Database | null = null
  private attempt: Attempt | null = null
  private readonly promotion: Promotion
  private readonly streams: StreamTable
  private readonly sorters = new StreamSorters()
  /** Of the last connection. */
  private compress: DirectCompress | null = null
  private lost: Error | null = null
  /** Where the ledger was not, according to the last transaction, although it had been read there. */
  private unmoved: LedgerPosition | null = null
  private readonly anomalySorter = new CopySorter(anomalyRowEnd)
  private haltedBy: LedgerFault['found'] | null = null
  private closed = false
  private isFinishing = false
  private cancelConnect: () => void = () => {}
  private statementMsMax = STATEMENT_MS_MIN
  private readonly pace: Pace

  constructor (
    private readonly options: DrainOptions, private readonly backoff = new Backoff(RETRY_MS_MIN, RETRY_MS_MAX)
  ) {
    this.pace = new Pace(options.intervalMs)
    this.promotion = new Promotion(options.findLostCommits, options.log)
    this.streams = new StreamTable(options.catalogue)
    options.journal.listeners.add({ onAwaited: () => this.pace.hurry() })
  }

  get state (): DrainState {
    return this.machine.current
  }

  /** Nothing will be stored any more. */
  get through (): boolean {
    return this.machine.is('ended', 'halted') && !this.waitsForLedger
  }

  private get waitsForLedger (): boolean {
    return this.machine.is('halted') && this.options.waitsForLedger === true && !this.isFinishing
  }

  /** Runs until a final state or close(). Never throws for operating errors. */
  async run (): Promise<void> {
    while (!this.closed && !this.through) {
      try {
        await this.session()
        if (this.waitsForLedger) await this.backoff.wait()
      } catch (error) {
        await this.failed(error)
      }
    }
  }

  /** Once the journal was ended because the process stops: a ledger that does not fit is no longer waited for. */
  finish (): void {
    this.isFinishing = true
    if (this.machine.is('halted')) this.backoff.cancel()
  }

  /** Closes the connection and stops retrying. */
  close (): void {
    this.closed = true
    this.cancelConnect()
    this.backoff.cancel()
    this.db?.destroy()
  }

  /** One connection, from opening to closing. */
  private async session (): Promise<void> {
    const { journal } = this.options
    const db = await this.connect()
    this.lost = null
    db.onLost = (error) => {
      this.lost = error
      // While it waits for frames, too: /health shows the state of the database.
      journal.interrupt()
    }
    try {
      this.compress = await this.options.directCompress?.(db) ?? null
      const position = await this.resume(db)
      if (position === null) return
      // While frames wait, only a COMMIT shows that the database accepts points again.
      if (journal.backlog().frames === 0) this.recovered()
      await this.storeAll(db, position)
    } finally {
      this.db = null
      if (db.alive && journal.backlog().frames === 0) await db.close()
      else db.destroy()
    }
  }

  /** Connects. close() closes the connection, even if called meanwhile; nobody waits for it then. */
  private async connect (): Promise<Database> {
    const connecting = this.options.connect(this.statementMsMax)
    connecting.then((db) => { if (this.closed) db.destroy() }, () => {})
    const closing = new Promise<null>((resolve) => { this.cancelConnect = () => resolve(null) })
    const db = await Promise.race([connecting, closing])
    if (db === null || this.closed) {
      db?.destroy()
      throw new Error('the drain was closed while connecting')
    }
    this.db = db
    return db
  }

  /** Until a final state, close(), or another transaction has moved the ledger. */
  private async storeAll (db: Database, start: LedgerPosition): Promise<void> {
    const { journal } = this.options
    let from = start
    for (;;) {
      await this.pace.pause()
      // A lost connection does not end a pause.
      this.assertConnected()
      const run = await journal.take(this.options.copyBytesMax)
      this.assertConnected()
      if (run === null) {
        this.machine.to('ended')
        return
      }
      if (this.closed) return
      this.pace.begin()
      if (!await this.store(db, from, run)) {
        this.unmoved = from
        return
      }
      this.count()
      this.statementMsMax = STATEMENT_MS_MIN
      journal.release(run)
      from = { epoch: run.epoch, sequence: run.lastSequence, epochId: run.epochId }
    }
  }

  private assertConnected (): void {
    if (this.lost !== null) throw this.lost
  }

  /** Reads the ledger, and returns its position; null: it does not fit. */
  private async resume (db: Database): Promise<LedgerPosition | null> {
    const { journal } = this.options
    let position = await readLedger(db, journal.spoolId)
    let fault = journal.resume(position)
    if (fault?.kind === 'ledger_missing' && await this.promotion.isPromoted(db)) {
      // Even the row is among the commits that it lacks. From the first frame on, the frames tell what it has.
      position = await enterLedger(db, journal.spoolId)
      fault = journal.resume(position)
    }
    if (fault !== null) {
      await this.halt(db, fault, position)
      return null
    }
    if (this.haltedBy !== null) {
      this.options.log.info({ spool: journal.spoolId }, 'the ledger fits again')
      this.machine.to('retrying')
      this.haltedBy = null
    }
    this.countIfCovered(position)
    this.assertMovable(position)
    await this.promotion.use(db)
    if (position !== null) return position
    const entered = await enterLedger(db, journal.spoolId)
    journal.resume(entered)
    return entered
  }

  /** Throws if the ledger is still where the last transaction could not move it, so that the next attempt waits. */
  private assertMovable (position: LedgerPosition | null): void {
    const { unmoved } = this
    this.unmoved = null
    if (unmoved?.epoch !== (position?.epoch ?? 0) || unmoved.sequence !== (position?.sequence ?? 0)) return
    throw new Error(`the row of ${this.options.journal.spoolId} in ingest_ledger cannot be moved, although nobody ` +
      'else moves it: a trigger, a rule or a policy of that table prevents it, or there is a second row')
  }

  /** False: another transaction has moved the ledger; read it again. */
  private async store (db: Database, from: LedgerPosition, run: FrameRun): Promise<boolean> {
    const moves = { spoolId: this.options.journal.spoolId, from, run }
    const startedMs = performance.now()
    try {
      const streams = this.sorters.sortRun(this.streams.group(run.payloads), run)
      const rows: CommitRows = { streams, anomalies: this.sortAnomalies(run.payloads), poison: [] }
      return await this.commit(db, moves, rows, this.changesOf(streams), { quarantined: 0, startedMs })
    } catch (error) {
      if (!isDataError(error)) throw error
      return await this.storeWithoutPoison(db, moves, error)
    }
  }

  private sortAnomalies (payloads: readonly Buffer[]): CopyStream | null {
    const copyRows = payloads.reduce((sum, payload) => sum + anomalyCountOf(payload), 0)
    return copyRows === 0 ? null : { copy: this.anomalySorter.sort(payloads.map(anomaliesOf), copyRows), copyRows }
  }

  /** What there is to compare by the limits on change. */
  private changesOf (streams: readonly StreamRows[]): Changes | null {
    const limits = this.options.changeLimits?.() ?? null
    return limits === null ? null : new Changes(collectValues(limits, streams), limits.version, this.options.log)
  }

  private async commit (
    db: Database, moves: LedgerMove, rows: CommitRows, changes: Changes | null, started: Started
  ): Promise<boolean> {
    const { epoch, lastSequence: sequence } = moves.run
    this.attempt = { end: { epoch, sequence }, stored: rowsOf(rows), changes, ...started }
    return await commitRun(db, moves, { ...rows, changes }, this.compress)
  }

  /** The last attempt has committed, whether or not its answer arrived. */
  private count (): void {
    const { attempt } = this
    if (attempt === null) return
    this.attempt = null
    this.recovered()
    this.options.onCommitted(attempt.stored, attempt.quarantined, performance.now() - attempt.startedMs)
    const found = attempt.changes?.found
    if (found !== undefined && found.total > 0) this.options.onChanges?.(found)
  }

  private countIfCovered (position: Position | null): void {
    const end = this.attempt?.end
    if (end !== undefined && position?.epoch === end.epoch && position.sequence >= end.sequence) this.count()
    this.attempt = null
  }

  /**
   * Rows were refused: creates missing partitions, or quarantines the refused rows and stores the others.
   * False: another transaction has moved the ledger.
   */
  private async storeWithoutPoison (db: Database, moves: LedgerMove, cause: unknown): Promise<boolean> {
    const startedMs = performance.now()
    await db.query('ROLLBACK')
    const { points, anomalies, poison, poisonPoints } = await separateRun(
      db, this.streams.group(moves.run.payloads), async (stream, rows) =>
        await separateRefused(db, stream, rows, cause))
    const copyRows = anomalies.length
    const rows: CommitRows = {
      streams: points.filter(({ rows }) => rows.length > 0).map(({ stream, rows }) =>
        this.sorters.sort(stream, rows, rows.length)),
      anomalies: copyRows === 0 ? null : { copy: this.anomalySorter.sort(anomalies, copyRows), copyRows },
      poison
    }
    const stored = await this.commit(
      db, moves, rows, this.changesOf(rows.streams), { quarantined: poisonPoints, startedMs })
    if (stored && poison.length > 0) {
      const counts = { quarantined: poison.length, points: poisonPoints, stored: rowsOf(rows) }
      this.options.log.error({ ...counts, reason: poison[0]?.reason },
        'PostgreSQL refused rows: they are in quarantined_rows with the reason; the others are stored')
    }
    return stored
  }

  private recovered (): void {
    if (this.lastError !== null) this.options.log.info('the database is back; storing queued points')
    this.machine.to('ready')
    this.lastError = null
    this.backoff.reset()
  }

  /** Once for each finding: looking up lost commits may take long. */
  private async halt (db: Database, fault: LedgerFault, position: LedgerPosition | null): Promise<void> {
    const { kind, found } = fault
    if (this.haltedBy === found) return
    const isLost = await this.promotion.hasLostCommits(db, fault, position)
    this.lastError = isLost ? `${found} ${LOST_COMMITS}` : fault.message
    this.machine.to('halted')
    this.haltedBy = found
    this.options.log.fatal({ kind, spool: this.options.journal.spoolId }, this.lastError)
  }

  private async failed (error: unknown): Promise<void> {
    // Once it is through, all that can fail is closing the connection.
    if (this.closed || this.through) return
    if (isUnanswered(error)) this.statementMsMax = Math.min(this.statementMsMax * 2, STATEMENT_MS_MAX)
    this.retries++
    // Of a halted drain, /health shows the ledger.
    if (!this.machine.is('halted')) this.retry(error instanceof Error ? error.message : String(error))
    await this.backoff.wait()
  }

  private retry (message: string): void {
    // Once per outage: /health shows the state throughout.
    if (this.lastError === null) {
      this.options.log.error({ error: message }, 'database writes are failing; points stay queued and will be retried')
    }
    this.machine.to('retrying')
    this.lastError = message
  }
}
