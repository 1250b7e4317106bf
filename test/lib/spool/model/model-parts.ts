/** Parts of the model: its batches and counts, and the pump for its disk. */
import assert from 'node:assert/strict'
import type { ErrorCode } from '../../../../lib/support/errors.js'
import type { ClosedBatch, FrameRun, LedgerPosition, Position } from '../../../../lib/journal/journal.js'
import type { Gap } from '../../../../lib/spool/recover/gap.js'
import type { Spool } from '../../../../lib/spool/spool.js'
import type { FakeFiles, Random } from '../fake-files.js'

/** What a batch needs from its world. */
export interface BatchWorld {
  holds (id: number): boolean
  nextPosition (): Position
}

export class ModelBatch implements ClosedBatch {
  payload: Buffer
  readonly rows: number
  readonly awaitsCommit: boolean
  answer: ErrorCode | null | undefined = undefined
  committedAnswer: ErrorCode | null | undefined = undefined
  /** Of its frame, once acknowledged. */
  position: Position | null = null

  constructor (readonly world: BatchWorld, readonly id: number, random: Random) {
    this.payload = Buffer.from(`${id}:${'x'.repeat(random(4) === 0 ? random(300) : random(20))}`)
    this.rows = 1 + random(5)
    this.awaitsCommit = random(2) === 0
  }

  spooled (error: ErrorCode | null): void {
    assert.equal(this.answer, undefined, `batch ${this.id} is answered twice`)
    this.answer = error
    if (error === null) this.position = this.world.nextPosition()
  }

  committed (error: ErrorCode | null): void {
    assert.equal(this.answer, null, `batch ${this.id} is committed before it was spooled`)
    assert.equal(this.committedAnswer, undefined, `batch ${this.id} is told of its commit twice`)
    this.committedAnswer = error
    if (error === null) assert.ok(this.world.holds(this.id), `batch ${this.id} is told committed, and is not stored`)
  }
}

/** A process of the model. */
export interface Process {
  readonly files: FakeFiles
  readonly spool: Spool
  readonly batches: ModelBatch[]
  acknowledged: number
  fatal: boolean
  /** Whether the drain has read the ledger. */
  resumed: boolean
  /** The position that the drain read; null: none yet, or no row. */
  known: LedgerPosition | null
  taking: Promise<void> | null
  run: FrameRun | null
}

/** Counts of what happened, so that a test can assert that it did. */
export interface WorldCounts {
  acknowledged: number
  stored: number
  refusedFull: number
  refusedFailed: number
  crashes: number
  flips: number
  gaps: number
  lost: number
  readBack: number
  fatals: number
  setBack: number
  setAhead: number
  deleted: number
  restored: number
  copied: number
  movedByCopy: number
  falseAlarms: number
}

export const NO_COUNTS: WorldCounts = Object.freeze({
  acknowledged: 0,
  stored: 0,
  refusedFull: 0,
  refusedFailed: 0,
  crashes: 0,
  flips: 0,
  gaps: 0,
  lost: 0,
  readBack: 0,
  fatals: 0,
  setBack: 0,
  setAhead: 0,
  deleted: 0,
  restored: 0,
  copied: 0,
  movedByCopy: 0,
  falseAlarms: 0
})

export function covers (gap: Gap, position: Position): boolean {
  if (gap.epoch !== position.epoch || gap.fromSequence > position.sequence) return false
  return gap.toSequence === null || gap.toSequence >= position.sequence
}

export function pick<T> (random: Random, list: readonly T[]): T {
  return list[random(list.length)]!
}

/** Lets everything finish that does not wait for the disk. */
export async function flush (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}

export function rethrow (error: unknown): void {
  setImmediate(() => { throw error as Error })
}

/** Performs operations until the promise is settled. False: stopped after operationsMax. */
export async function pumpFiles (files: FakeFiles, promise: Promise<boolean>, operationsMax: number): Promise<boolean> {
  const state = { done: false }
  const finished = promise.finally(() => { state.done = true })
  finished.catch(() => {})
  await flush()
  for (let operations = 0; !state.done; operations++) {
    if (operations >= operationsMax) return false
    assert.ok(files.pending > 0, 'waits for nothing')
    files.step()
    await flush()
  }
  return await finished
}
