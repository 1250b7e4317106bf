/**
 * Takes frames from the journal and commits them; owns the worker's one connection for COPY.
 *
 *   connecting → reading the ledger → storing ⇄ waiting for frames
 *        ↑______________|________________|        any failure: throw the connection away, back off, begin anew
 *   halted                                        the ledger does not fit the journal: never write again on its own
 *
 * After a failure nothing is known of the last transaction: the ledger is read again, the journal releases
 * what it covers and gives the rest out once more. A transaction is counted in the same turn of the event loop in
 * which its frames are released, so that every point is either waiting or counted, and never both.
 */
import type { FrameRun, Journal, LedgerFault, Position } from '../journal/journal.js'
import type { Log } from '../support/log.js'
import { anomalyRowEnd } from '../pipeline/rows/anomaly-rows.js'
import { anomaliesOf, anomalyCountOf, telemetryOf } from '../pipeline/rows/payload.js'
import { CopySorter, type CopyStream } from './copy-rows.js'
import { commitRun, enterLedger, readLedger, type CommitRows } from './commit.js'
import type { DirectCompress } from './direct-compress.js'
import { isUnanswered, type Database } from '../database/connection.js'
import { separateRefused } from './missing-partition.js'
import { isDataError, separateRun } from './poison.js'
import { Backoff } from '../support/backoff.js'
import { Pace } from './pace.js'

export type DrainState = 'connecting' | 'ready' | 'retrying' | 'halted' | 'ended'

export interface DrainOptions {
  readonly journal: Journal
  /** @param statementMsMax see ConnectOptions */
  readonly connect: (statementMsMax: number) => Promise<Database>
  readonly log: Log
  /** Whether each new connection compresses large COPYs at once; without it none does. */
  readonly directCompress?: (db: Database) => Promise<DirectCompress>
  /** Bytes of rows in one COPY, at most. */
  readonly copyBytesMax: number
  /** From the beginning of a transaction to that of the next one, at least, while nobody waits for a commit. */
  readonly intervalMs: number
  /** After each COMMIT: points stored, points quarantined, and how long the transaction took. */
  readonly onCommitted: (stored: number, quarantined: number, milliseconds: number) => void
}

/** A transaction that was begun, to be counted once it is known that it committed. */
interface Attempt {
  /** Where the ledger stands if it did. */
  readonly end: Position
  readonly stored: number
  readonly quarantined: number
  readonly startedMs: number
}

const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 5_000
/** A statement of a transaction takes a second at most, where nobody has locked the table and the disk is not overwhelmed. */
const STATEMENT_MS_MIN = 60_000
/** Twice as long after each that took longer, up to this: a lock of an hour must not leave hundreds of sessions behind it. */
const STATEMENT_MS_MAX = 960_000

export class Drain {
  state: DrainState = 'connecting'
  /** What went wrong last, null while all is well. */
  lastError: string | null = null
  /** Transactions that were tried again. */
  retries = 0
  /** The connection of the session under way. */
  private db: Database | null = null
  private attempt: Attempt | null = null
  private readonly sorter = new CopySorter()
  /** Of the connection opened last. */
  private compress: DirectCompress | null = null
  private lost: Error | null = null
  private readonly anomalySorter = new CopySorter(anomalyRowEnd)
  private closed = false
  private statementMsMax = STATEMENT_MS_MIN
  private readonly pace: Pace

  constructor (private readonly options: DrainOptions, private readonly backoff = new Backoff(RETRY_MS_MIN, RETRY_MS_MAX)) {
    this.pace = new Pace(options.intervalMs)
    options.journal.onAwaited = () => { this.pace.hurry() }
  }

  /** Nothing is stored any more. */
  get through (): boolean {
    return this.state === 'ended' || this.state === 'halted'
  }

  /** Runs until the journal is ended and empty, or close() is called, or the ledger does not fit. Never throws for operating errors. */
  async run (): Promise<void> {
    while (!this.closed) {
      try {
        const done = await this.session()
        if (done) return
      } catch (error) {
        await this.failed(error)
      }
    }
  }

  /** Cuts the connection and stops trying. */
  close (): void {
    this.closed = true
    this.backoff.cancel()
    this.db?.destroy()
  }

  /** One connection's life. True: there is nothing left to do. */
  private async session (): Promise<boolean> {
    const { journal } = this.options
    const db = await this.connect()
    this.lost = null
    db.onLost = (error) => {
      this.lost = error
      // A drain that waits for frames must notice too: the state of the database is on /health.
      journal.interrupt()
    }
    try {
      this.compress = await this.options.directCompress?.(db) ?? null
      const position = await this.resume(db)
      if (position === null) return true
      // While frames wait, only a COMMIT shows that the database takes points again.
      if (journal.backlog().frames === 0) this.recovered()
      return await this.storeAll(db, position)
    } finally {
      this.db = null
      if (db.alive && journal.backlog().frames === 0) await db.close()
      else db.destroy()
    }
  }

  /** Connects; the connection is cut by close(), also if that comes meanwhile. */
  private async connect (): Promise<Database> {
    const db = await this.options.connect(this.statementMsMax)
    this.db = db
    if (!this.closed) return db
    db.destroy()
    throw new Error('The drain was closed while it connected.')
  }

  private async storeAll (db: Database, start: Position): Promise<boolean> {
    const { journal } = this.options
    let from = start
    for (;;) {
      await this.pace.pause()
      // Nobody tells a pause that the connection is gone.
      this.assertConnected()
      const run = await journal.take(this.options.copyBytesMax)
      this.assertConnected()
      if (run === null) {
        this.state = 'ended'
        return true
      }
      if (this.closed) return true
      this.pace.begin()
      if (!await this.store(db, from, run)) return false
      this.count()
      this.statementMsMax = STATEMENT_MS_MIN
      journal.release(run)
      from = { epoch: run.epoch, sequence: run.lastSequence }
    }
  }

  private assertConnected (): void {
    if (this.lost !== null) throw this.lost
  }

  /** Where to go on; null if the ledger does not fit. */
  private async resume (db: Database): Promise<Position | null> {
    const { journal } = this.options
    const position = await readLedger(db, journal.spoolId)
    const fault = journal.resume(position)
    if (fault !== null) {
      this.halt(fault)
      return null
    }
    this.countIfCovered(position)
    return position ?? await enterLedger(db, journal.spoolId)
  }

  /** False: the ledger moved under us; read it again. */
  private async store (db: Database, from: Position, run: FrameRun): Promise<boolean> {
    const startedMs = performance.now()
    const points = run.payloads.map(telemetryOf)
    const rows: CommitRows = {
      copy: this.sorter.sort(points, run.rows),
      copyRows: run.rows,
      times: this.sorter.times(points, run.rows),
      anomalies: this.sortAnomalies(run.payloads),
      poison: []
    }
    try {
      return await this.commit(db, from, run, rows, 0, startedMs)
    } catch (error) {
      if (!isDataError(error)) throw error
      return await this.storeWithoutPoison(db, from, run, error)
    }
  }

  private sortAnomalies (payloads: readonly Buffer[]): CopyStream | null {
    const copyRows = payloads.reduce((sum, payload) => sum + anomalyCountOf(payload), 0)
    return copyRows === 0 ? null : { copy: this.anomalySorter.sort(payloads.map(anomaliesOf), copyRows), copyRows }
  }

  /** @param quarantined points among the poison */
  private async commit (db: Database, from: Position, run: FrameRun, rows: CommitRows, quarantined: number, startedMs: number): Promise<boolean> {
    const end = { epoch: run.epoch, sequence: run.lastSequence }
    this.attempt = { end, stored: rows.copyRows, quarantined, startedMs }
    return await commitRun(db, this.options.journal.spoolId, from, run, rows, this.compress)
  }

  /** The last attempt has committed, whether its answer came or not. */
  private count (): void {
    const { attempt } = this
    if (attempt === null) return
    this.attempt = null
    this.recovered()
    this.options.onCommitted(attempt.stored, attempt.quarantined, performance.now() - attempt.startedMs)
  }

  private countIfCovered (position: Position | null): void {
    const end = this.attempt?.end
    if (end !== undefined && position?.epoch === end.epoch && position.sequence >= end.sequence) this.count()
    this.attempt = null
  }

  /**
   * Rows were refused: makes a partition that is missing, or finds the rows and puts them aside, and stores the others.
   * False: the ledger moved under us.
   */
  private async storeWithoutPoison (db: Database, from: Position, run: FrameRun, cause: unknown): Promise<boolean> {
    const startedMs = performance.now()
    await db.query('ROLLBACK')
    const { points, anomalies, poison, poisonPoints } = await separateRun(db, run.payloads, async (rows) => await separateRefused(db, rows, cause))
    const rows: CommitRows = {
      copy: this.sorter.sort(points, points.length),
      copyRows: points.length,
      times: this.sorter.times(points, points.length),
      anomalies: anomalies.length === 0 ? null : { copy: this.anomalySorter.sort(anomalies, anomalies.length), copyRows: anomalies.length },
      poison
    }
    const stored = await this.commit(db, from, run, rows, poisonPoints, startedMs)
    if (stored && poison.length > 0) {
      this.options.log.error({ quarantined: poison.length, points: poisonPoints, stored: points.length, reason: poison[0]?.reason },
        'PostgreSQL refused rows; they are in quarantined_rows with the reason, the others are stored')
    }
    return stored
  }

  private recovered (): void {
    if (this.lastError !== null) this.options.log.info('the database is back; storing what waits')
    this.state = 'ready'
    this.lastError = null
    this.backoff.reset()
  }

  private halt (fault: LedgerFault): void {
    this.state = 'halted'
    this.lastError = fault.message
    this.options.log.fatal({ kind: fault.kind, spool: this.options.journal.spoolId }, fault.message)
  }

  private async failed (error: unknown): Promise<void> {
    if (this.closed) return
    const message = error instanceof Error ? error.message : String(error)
    // Once per outage: the state is on /health all the time.
    if (this.lastError === null) {
      this.options.log.error({ error: message }, 'the database does not take points; they wait and are tried again')
    }
    if (isUnanswered(error)) this.statementMsMax = Math.min(this.statementMsMax * 2, STATEMENT_MS_MAX)
    this.state = 'retrying'
    this.lastError = message
    this.retries++
    await this.backoff.wait()
  }
}
