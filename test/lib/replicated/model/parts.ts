/** Parts of the model: batches, the database, and what drains a lane. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { ErrorCode } from '../../../../lib/support/errors.js'
import type { ClosedBatch, FrameRun, LedgerPosition } from '../../../../lib/journal/journal.js'
import { comparePositions, POSITION_START } from '../../../../lib/spool/format/position.js'
import type { LogJournal } from '../../../../lib/replicated/log-journal.js'
import type { LostLane } from '../../../../lib/replicated/lost-lane.js'
import type { FakeLog, Random } from '../fake-log.js'

/** A lane, and what happened to it. */
export interface ModelLane {
  readonly id: string
  /** Its streams lost messages by the model's doing. */
  isDamaged: boolean
  /** They lost their end, or the last of several was deleted: only the writer can know. */
  isCut: boolean
  /** They were removed after they had been drained. */
  isRemoved: boolean
  /** Its writer was killed. */
  isKilled: boolean
  /** Another drain has worked on it. */
  isTakenOver: boolean
  /** What was said about it. */
  readonly faults: string[]
  ledger: LedgerPosition | null
  /** Id of the batch stored last. */
  lastStored: number
}

export class ModelBatch implements ClosedBatch {
  payload: Buffer
  readonly rows: number
  readonly awaitsCommit: boolean
  answer: ErrorCode | null | undefined = undefined
  private told: ErrorCode | null | undefined = undefined

  constructor (
    readonly lane: ModelLane, readonly id: number, random: Random, private readonly holds: (id: number) => boolean
  ) {
    this.payload = Buffer.from(`${id}:${'x'.repeat(random(4) === 0 ? random(900) : random(20))}`)
    this.rows = 1 + random(5)
    this.awaitsCommit = random(2) === 0
  }

  spooled (error: ErrorCode | null): void {
    assert.equal(this.answer, undefined, `batch ${this.id} is answered twice`)
    this.answer = error
  }

  committed (error: ErrorCode | null): void {
    assert.equal(this.answer, null, `batch ${this.id} is committed before it was acknowledged`)
    assert.equal(this.told, undefined, `batch ${this.id} is told of its commit twice`)
    this.told = error
    // Who takes over steps over what is no longer in the log, although a writer that lives may still have it.
    const { isDamaged, isTakenOver } = this.lane
    const mayLack = error !== null || (isDamaged && isTakenOver)
    assert.ok(mayLack || this.holds(this.id), `batch ${this.id} is told committed, and is not stored`)
  }
}

export class ModelDatabase {
  readonly stored = new Set<number>()

  constructor (private readonly batches: readonly ModelBatch[]) {}

  /** One transaction. False: the ledger is not at `from`. */
  commit (lane: ModelLane, from: LedgerPosition | null, run: FrameRun): boolean {
    if (!isDeepStrictEqual(lane.ledger, from)) return false
    const { epoch, epochId, firstSequence, lastSequence, payloads } = run
    assert.ok(from !== null)
    const first = { epoch, sequence: firstSequence }
    assert.ok(comparePositions(first, from) > 0, 'frames that the ledger covers are given out')
    assert.equal(payloads.length, lastSequence - firstSequence + 1)
    for (const payload of payloads) this.store(lane, Number(payload.toString().split(':')[0]))
    lane.ledger = { epoch, sequence: lastSequence, epochId }
    return true
  }

  private store (lane: ModelLane, id: number): void {
    const batch = this.batches[id]
    assert.ok(batch !== undefined, `stored what was never sent: ${id}`)
    assert.equal(batch.lane, lane, `batch ${id} is stored from another lane`)
    assert.ok(!this.stored.has(id), `batch ${id} is stored twice`)
    const isRefused = ['spool_full', 'shutting_down', 'log_unavailable'].includes(String(batch.answer))
    assert.ok(!isRefused, `batch ${id} was refused with ${String(batch.answer)}, and is stored`)
    assert.ok(id > lane.lastStored, `batch ${id} is stored after batch ${lane.lastStored}`)
    this.stored.add(id)
    lane.lastStored = id
  }
}

/** A process that drains a lane: its writer, or who took it over. */
export class Drainer {
  /** The drain is through: the lane is sealed and empty. */
  isDone = false
  /** The ledger does not fit. */
  isHalted = false
  private resumed = false
  private known: LedgerPosition | null = null
  private taking = false
  private run: FrameRun | null = null

  constructor (
    readonly lane: ModelLane,
    readonly log: FakeLog,
    readonly journal: LogJournal | LostLane,
    private readonly database: ModelDatabase,
    private readonly random: Random
  ) {}

  /** What a drain does next. @param mayFail a COMMIT, or its answer, may get lost */
  step (mayFail: boolean): void {
    if (this.isHalted) return
    if (!this.resumed) this.resume()
    else if (this.run !== null) this.commit(this.run, mayFail)
    else if (!this.taking && !this.isDone) this.take()
    else if (mayFail && this.random(50) === 0) this.lose()
  }

  /** The connection is lost: whatever was taken is given out again. */
  private lose (): void {
    this.resumed = false
    this.run = null
  }

  private resume (): void {
    const { journal, lane } = this
    this.run = null
    const fault = journal.resume(lane.ledger)
    if (fault !== null) {
      assert.ok(lane.isDamaged, `the lane refuses its own ledger: ${fault.message}`)
      lane.faults.push(fault.message)
      this.isHalted = true
      return
    }
    if (lane.ledger === null) {
      lane.ledger = POSITION_START
      assert.equal(journal.resume(lane.ledger), null)
    }
    this.known = lane.ledger
    this.resumed = true
  }

  private take (): void {
    this.taking = true
    this.journal.take(1 + this.random(1500)).then((run) => {
      this.taking = false
      if (run === null) this.isDone = true
      else this.run = run
    }, (error: unknown) => { setImmediate(() => { throw error as Error }) })
  }

  private commit (run: FrameRun, mayFail: boolean): void {
    this.run = null
    const fate = mayFail ? this.random(20) : 0
    const committed = fate !== 19 && this.database.commit(this.lane, this.known, run)
    if (!committed || fate === 18) {
      this.resumed = false
      return
    }
    this.known = this.lane.ledger
    this.journal.release(run)
    // Freed payloads are used again.
    for (const payload of run.payloads) payload.fill(0xdd)
  }
}
