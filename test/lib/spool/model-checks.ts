/** What must be true of the model's batches, given the damage and the restores that there were. */
import assert from 'node:assert/strict'
import type { Position } from '../../../lib/journal/journal.js'
import type { Gap } from '../../../lib/spool/recover/gap.js'
import type { Recovery } from '../../../lib/spool/recover/recovery.js'
import { comparePositions } from '../../../lib/spool/format/position.js'
import type { ModelDatabase } from './model/model-database.js'
import { covers, type ModelBatch, type Process, type WorldCounts } from './model/model-parts.js'

/** Frames some of which were lost with a restored database. */
interface GoneFrames {
  readonly after: Position
  readonly through: Position
}

export class Checks {
  /** Read operations that were made to fail. */
  readFaults = 0
  private readonly gaps: Gap[] = []
  /** Epochs whose last segment ended in torn bytes when it was recovered. */
  private readonly tornEpochs = new Set<number>()
  private readonly gone: GoneFrames[] = []

  /** @param ownBatches all batches but those of copies */
  constructor (
    private readonly database: ModelDatabase,
    private readonly counts: WorldCounts,
    private readonly ownBatches: () => readonly ModelBatch[]
  ) {}

  /** Whether there was damage. Two failed reads in a row are a lost sector: a gap, as with a flipped bit. */
  get mayLose (): boolean {
    return this.counts.flips > 0 || this.readFaults > 1
  }

  /** Whether a backup was restored. */
  get wasRestored (): boolean {
    return this.gone.length > 0
  }

  addGone (frames: GoneFrames): void {
    this.gone.push(frames)
  }

  addGap (gap: Gap): void {
    this.gaps.push(gap)
    this.counts.gaps++
    if (this.mayLose) return
    const hit = this.ownBatches().find(({ id, position }) =>
      position !== null && !this.database.committed.has(id) && covers(gap, position))
    assert.equal(hit, undefined, `a gap without damage: ${JSON.stringify(gap)}`)
  }

  addRecovery ({ gaps, tornBytes }: Recovery, newEpoch: number): void {
    for (const gap of gaps) this.addGap(gap)
    if (tornBytes === 0) return
    for (const { position } of this.ownBatches()) {
      if (position !== null && position.epoch < newEpoch) this.tornEpochs.add(position.epoch)
    }
  }

  /** Of a process that has ended in order. */
  checkAnswers (process: Process): void {
    for (const batch of process.batches) assert.notEqual(batch.answer, undefined, `batch ${batch.id} is never answered`)
  }

  /** After everything was drained. */
  checkAll (process: Process): void {
    this.checkAnswers(process)
    for (const batch of process.batches) {
      if (batch.answer !== null || !batch.awaitsCommit || this.isExcused(batch)) continue
      assert.equal(batch.committedAnswer, null, `batch ${batch.id} is not told of its commit`)
    }
    for (const batch of this.ownBatches()) this.checkStored(batch)
    const { rowsAppended, recoveredRows, rowsReleased, rowsLost, framesReadBack } = process.spool.counters
    assert.equal(rowsAppended + recoveredRows, rowsReleased + rowsLost, 'rows do not add up')
    this.counts.readBack += framesReadBack
  }

  private checkStored (batch: ModelBatch): void {
    const { id, answer, position } = batch
    if (answer === 'spool_full') this.counts.refusedFull++
    if (answer === 'spool_failed') this.counts.refusedFailed++
    if (answer !== null || this.database.stored.has(id)) return
    this.counts.lost++
    assert.ok(position !== null)
    const mayBeLost = this.mayLose || this.database.committed.has(id)
    const isReported = this.isGone(position) || (mayBeLost && this.isExcused(batch))
    assert.ok(isReported, `batch ${id} at ${JSON.stringify(position)} was acknowledged, and is lost without a report`)
  }

  /** Lost with a restored database, and reported by the plan. */
  private isGone (position: Position): boolean {
    return this.gone.some(({ after, through }) =>
      comparePositions(position, after) > 0 && comparePositions(position, through) <= 0)
  }

  /** Lost to damage, and reported: as a gap, or as the torn end of the segment that was the last. */
  private isExcused ({ position }: ModelBatch): boolean {
    assert.ok(position !== null)
    if (this.isGone(position)) return true
    if (this.gaps.some((gap) => covers(gap, position))) return true
    const isLater = (other: Position | null): boolean =>
      other?.epoch === position.epoch && other.sequence > position.sequence
    const later = this.ownBatches().some((batch) => isLater(batch.position) && this.database.stored.has(batch.id))
    return this.tornEpochs.has(position.epoch) && !later
  }
}
