/**
 * A world for the spool: a disk with faults, a ledger, senders and a drain, and a record of what was answered.
 *
 * Each step does one thing at random. settle() then lets the faults end, drains everything, and checks:
 * - what was acknowledged is stored, or was hit by a flipped bit and reported;
 * - nothing is stored twice, in another order, that was not sent, or that was refused with spool_full;
 * - every batch of a process that lived is answered exactly once;
 * - the spool never takes its own ledger for a wrong one, unless damage hid what it knew;
 * - a ledger that was set back, set ahead, deleted or restored is noticed, also at a second start, and with what the
 *   operator decides then nothing is stored twice, and nothing is gone beyond what the plan says.
 */
import assert from 'node:assert/strict'
import { readLedgerNote } from '../../../../lib/spool/recover/ledger-note.js'
import { chosen, planResolution, writeResolution, type Choice, type Resolution } from '../../../../lib/spool/operate/resolution.js'
import { openSpool } from '../../../../lib/spool/spool.js'
import { POSITION_START, comparePositions } from '../../../../lib/spool/format/position.js'
import type { Gap } from '../../../../lib/spool/recover/gap.js'
import type { FrameRun, Position } from '../../../../lib/journal/journal.js'
import { failWholeFiles, flipBit } from './model-faults.js'
import { ModelDatabase, type Saved } from './model-database.js'
import { scribble } from '../../../support/scribble.js'
import { ModelBatch, NO_COUNTS, covers, flush, pick, pumpFiles, rethrow, type Process, type WorldCounts } from './model-parts.js'
import { isPromised, pickTampering, type Tampering } from '../tampering.js'
import { FakeDisk, FakeFiles, type Random } from '../fake-files.js'

const DIRECTORY = '/data/spool/slot-0'

export class World {
  readonly counts: WorldCounts = { ...NO_COUNTS }
  private readonly disk: FakeDisk
  private readonly batches: ModelBatch[] = []
  private readonly database = new ModelDatabase(this.batches)
  private readonly gaps: Gap[] = []
  /** Epochs whose last segment ended in torn bytes when it was recovered. */
  private readonly tornEpochs = new Set<number>()
  /** Stretches of frames of which some went with a database that was restored. */
  private readonly gone: Array<{ readonly after: Position, readonly through: Position }> = []
  /** Rows that were promised to be stored again. */
  private again: { readonly after: Position, readonly through: Position, readonly rows: number } | null = null
  private process: Process | null = null
  private clockMs = 1_000_000
  private readFaults = 0
  private settling = false
  /** Between the restore of a backup and the plan that says what is gone. */
  private restoring = false
  private readonly bounds: { readonly segmentBytes: number, readonly memoryMaxBytes: number, readonly maxBytes: number }

  constructor (private readonly random: Random, private readonly faults: boolean) {
    this.disk = new FakeDisk(random)
    this.bounds = { segmentBytes: 400 + random(3000), memoryMaxBytes: random(2) === 0 ? 1_000_000 : 600 + random(4000), maxBytes: random(3) === 0 ? 3000 + random(9000) : 1_000_000 }
  }

  /** One thing at random. */
  async step (): Promise<void> {
    const process = this.process ?? await this.open()
    if (process === null) return
    const { random } = this
    this.clockMs += random(5)
    const dice = random(1000)
    if (dice < 300) this.append(process, 1 + random(3))
    else if (dice < 620) await this.io(process, 1 + random(6))
    else if (dice < 930) await this.drain(process)
    else if (dice < 945) process.spool.checkRoom().catch(rethrow)
    else if (dice < 951) await this.shutDown(process)
    else if (this.faults) this.injectFault(process)
  }

  /** The faults end; everything is drained; then what must hold is checked. */
  async settle (): Promise<WorldCounts> {
    this.disk.heal()
    this.settling = true
    if (this.process?.fatal === true) this.crash(this.process)
    let process = await this.running()
    for (let turn = 0; turn < 3; turn++) {
      await this.pump(process, process.spool.checkRoom())
      await this.io(process, Number.POSITIVE_INFINITY)
    }
    this.append(process, 1)
    await this.io(process, Number.POSITIVE_INFINITY)
    for (let turn = 0; process.spool.backlog().frames > 0 || !process.resumed; turn++) {
      assert.ok(turn < 10_000, `the spool does not run empty: ${JSON.stringify(process.spool.backlog())}`)
      await this.drain(process)
      process = await this.running()
      await this.io(process, Number.POSITIVE_INFINITY)
    }
    this.check(process)
    await this.pump(process, process.spool.close())
    return this.counts
  }

  /** Whether the database holds a batch. */
  holds (id: number): boolean {
    return this.database.stored.has(id)
  }

  /** Sequence numbers go to acknowledged frames alone, in the order of their answers. */
  nextPosition (): Position {
    const process = this.process
    assert.ok(process !== null)
    this.counts.acknowledged++
    return { epoch: process.spool.epoch, sequence: ++process.acknowledged }
  }

  /** Whether there was damage. Two reads in a row that fail are a sector that is gone: a gap as with a flipped bit. */
  private get mayLose (): boolean {
    return this.counts.flips > 0 || this.readFaults > 1
  }

  private append (process: Process, count: number): void {
    for (let index = 0; index < count; index++) {
      const batch = new ModelBatch(this, this.batches.length, this.random)
      this.batches.push(batch)
      process.batches.push(batch)
      process.spool.append(batch)
    }
  }

  private async io (process: Process, count: number): Promise<void> {
    await flush()
    for (let done = 0; done < count && process.files.pending > 0; done++) {
      process.files.step()
      if (this.faults && this.random(10) === 0) this.disk.writeBack()
      await flush()
    }
  }

  private async drain (process: Process): Promise<void> {
    const { spool } = process
    const { random } = this
    await flush()
    if (!process.resumed) {
      // A take() that still waits goes on; a run that it gave before is given out again.
      process.run = null
      if (this.faults && !this.settling && random(8) === 0 && await this.tamper(process)) return
      const fault = spool.resume(this.database.ledger)
      if (fault !== null) {
        // Only damage can make a spool forget how far it went.
        assert.ok(this.mayLose && fault.kind !== 'ledger_behind', `the spool refuses its own ledger: ${fault.message}`)
        this.counts.falseAlarms++
        await this.resolve(process, 'already-stored')
        return
      }
      // As the drain does: a spool that the ledger does not know is entered before its first frame is asked for.
      this.database.ledger ??= { epoch: 0, sequence: 0 }
      process.resumed = true
    } else if (process.run !== null) {
      this.commit(process, process.run)
    } else if (process.taking === null && spool.backlog().frames > 0) {
      process.taking = spool.take(1 + random(600)).then((run) => {
        process.taking = null
        process.run = run
      }, (error: unknown) => {
        // A segment that cannot be opened now: take() may be called again.
        assert.match((error as { code?: string }).code ?? '', /^E/)
        process.taking = null
      })
      process.taking.catch(rethrow)
    } else if (random(50) === 0) {
      process.resumed = false
    }
  }

  /** One transaction; its answer may be lost, whether it committed or not. */
  private commit (process: Process, run: FrameRun): void {
    process.run = null
    const fate = this.faults ? this.random(20) : 0
    if (fate !== 19) {
      assert.ok(this.database.ledger === null || comparePositions({ epoch: run.epoch, sequence: run.firstSequence }, this.database.ledger) > 0, 'frames that the ledger covers are given out')
      assert.equal(run.payloads.length, run.lastSequence - run.firstSequence + 1)
      for (const [index, payload] of run.payloads.entries()) this.database.store(payload, { epoch: run.epoch, sequence: run.firstSequence + index })
      this.counts.stored += run.payloads.length
      this.database.ledger = { epoch: run.epoch, sequence: run.lastSequence }
      this.database.ledgerRows += run.rows
      if (this.again === null && this.random(40) === 0) this.database.backup = this.database.save()
    }
    if (fate >= 18) process.resumed = false
    else process.spool.release(run)
  }

  /** Somebody changes the ledger, or restores the database; the spool must notice, also at the start after. */
  private async tamper (process: Process): Promise<boolean> {
    const { disk, database: { backup } } = this
    // What is about to be given out counts as given out.
    if (process.taking !== null) return false
    const { note } = await readLedgerNote(this.plainFiles(), DIRECTORY, process.spool.spoolId)
    const tampering = note === null ? null : pickTampering(this.random, note, this.database.ledger, backup?.ledger ?? null)
    if (note === null || tampering === null || !isPromised(tampering, note, this.mayLose)) return false
    const before = this.database.save()
    const restored = tampering.what === 'restored' ? backup : null
    if (restored !== null) {
      this.database.load(restored)
      this.database.backup = null
      this.restoring = true
    }
    this.database.ledger = tampering.position
    if (this.database.ledger === null) this.database.ledgerRows = 0
    this.counts[tampering.what]++
    assert.match(process.spool.resume(this.database.ledger)?.kind ?? 'none', tampering.kinds, `a ledger that was ${tampering.what} is believed: ${JSON.stringify([before.ledger, this.database.ledger, note])}`)
    this.append(process, this.random(3))
    await this.io(process, Number.POSITIVE_INFINITY)
    await this.end(process)
    const kept = (await readLedgerNote(this.plainFiles(), DIRECTORY, process.spool.spoolId)).note
    const { boots } = disk
    const again = await this.running()
    const noticed = disk.boots === boots && kept !== null && isPromised(tampering, kept, this.mayLose)
    if (noticed) assert.match(again.spool.resume(this.database.ledger)?.kind ?? 'none', tampering.kinds, `a ledger that was ${tampering.what} is believed at the second start`)
    await this.goOn(again, tampering.what, before, noticed)
    return true
  }

  /** What the operator does, who knows what happened. */
  private async goOn (process: Process, what: Tampering['what'], before: Saved, noticed: boolean): Promise<void> {
    const committed = (await readLedgerNote(this.plainFiles(), DIRECTORY, process.spool.spoolId)).note?.committed
    if (!noticed && what !== 'restored') {
      // A power cut, or faults of the disk, took what was noted.
      this.database.ledger = before.ledger
      this.database.ledgerRows = before.ledgerRows
    } else if (what === 'restored') {
      await this.resolve(process, 'store-again', before)
      this.restoring = false
    } else if (before.ledger !== null && committed !== undefined && comparePositions(committed, before.ledger) === 0) {
      await this.resolve(process, what === 'setAhead' ? 'store-again' : 'already-stored')
    } else {
      // A transaction whose end the spool did not see: the row is put right by hand.
      this.database.ledger = before.ledger
      this.database.ledgerRows = before.ledgerRows
    }
  }

  private async resolve (process: Process, choice: Choice, before: Saved | null = null): Promise<void> {
    const { spoolId } = process.spool
    await this.shutDown(process)
    this.disk.heal()
    const files = this.plainFiles()
    const plan = await planResolution(files, DIRECTORY, spoolId, this.database.ledger === null ? null : { position: this.database.ledger, storedRows: this.database.ledgerRows })
    if (plan === null) return
    if (before !== null) this.checkPlan(plan, before)
    const { position, rows } = chosen(plan, choice, this.database.ledgerRows)
    if (this.database.ledger === null && choice === 'already-stored') this.database.ledgerRows = rows ?? 0
    this.database.ledger = position
    await writeResolution(files, DIRECTORY, spoolId, { position, rows })
  }

  /** After a restored backup: its numbers are those of the points that the database had before. */
  private checkPlan ({ lower, upper, between, gone }: Resolution, before: Saved): void {
    const rowsIn = (after: Position, through: Position): number => this.database.rowsOf(before.stored, after, through)
    // A power cut may have taken the newest that was noted, and brought back segments that stood before removed ones.
    this.gone.push({ after: this.database.ledger ?? POSITION_START, through: before.ledger ?? POSITION_START })
    this.again = { after: lower, through: upper, rows: between.rows }
    if (this.mayLose || this.database.ledger === null) return
    const lost = rowsIn(this.database.ledger, upper) - between.rows
    if (gone === null) assert.equal(lost, 0, 'nothing is gone')
    else if (gone.rows !== null) assert.equal(gone.rows, lost, 'rows that are gone')
  }

  /** Ends the process one way or the other, without a power cut; then the faults end. */
  private async end (process: Process): Promise<void> {
    if (this.random(2) === 0) {
      await this.shutDown(process)
    } else {
      process.files.kill()
      this.process = null
    }
    this.disk.heal()
  }

  /** The process, started if there is none. */
  private async running (): Promise<Process> {
    for (let start = 1; start <= 20; start++) {
      const process = this.process ?? await this.open()
      if (process !== null) return process
    }
    throw new Error('the spool does not start')
  }

  private plainFiles (): FakeFiles {
    const files = new FakeFiles(this.disk)
    files.faultless = true
    return files
  }

  private injectFault (process: Process): void {
    const { random, disk } = this
    const dice = random(100)
    if (dice < 25) this.crash(process)
    else if (dice < 30) this.counts.flips += flipBit(disk, random)
    else if (dice < 55) disk.fail('sync', random(6) === 0 ? 'ENOSPC' : 'EIO', 1 + random(3))
    else if (dice < 65) disk.fail('write', pick(random, ['EIO', 'ENOSPC', 'short'] as const), 1 + random(3))
    else if (dice < 75) this.readFaults += failWholeFiles(disk, random)
    else if (dice < 85) disk.capacityBytes = disk.usedBytes + random(400)
    else if (dice < 95) disk.heal()
    else this.clockMs += random(2) === 0 ? -random(100_000) : random(100_000)
  }

  /** The process is killed, half of the time with a power cut. */
  private crash (process: Process): void {
    process.files.kill()
    if (this.random(2) === 0) this.disk.powerCut()
    this.process = null
    this.counts.crashes++
    this.counts.readBack += process.spool.counters.framesReadBack
  }

  private async shutDown (process: Process): Promise<void> {
    await this.pump(process, process.spool.close())
    this.checkAnswers(process)
    this.process = null
  }

  /** Null: a crash or a fault came in the midst of the start. */
  private async open (): Promise<Process | null> {
    const files = new FakeFiles(this.disk)
    files.gated = true
    const state = { fatal: false }
    const opening = openSpool({
      ...this.bounds,
      files,
      directory: DIRECTORY,
      rowFormat: 1,
      reserveBytes: 0,
      roomIntervalMs: 1_000_000_000,
      now: () => this.clockMs,
      onFatal: () => {
        state.fatal = true
        this.counts.fatals++
        if (this.process !== null) this.process.fatal = true
      },
      onGap: (gap) => { this.noteGap(gap) }
    })
    let failure: unknown = null
    const settled = opening.then(() => true, (error: unknown) => {
      failure = error
      return true
    })
    const crashAfter = this.faults && this.random(10) === 0 ? this.random(30) : Number.POSITIVE_INFINITY
    if (!await pumpFiles(files, settled, crashAfter) || failure !== null) {
      if (failure !== null) assert.match((failure as { code?: string }).code ?? '', /^(E|spool_full|spool_failed)/, (failure as Error).stack ?? '')
      files.kill()
      if (this.random(2) === 0) this.disk.powerCut()
      this.disk.heal()
      return null
    }
    const { spool, recovery } = await opening
    spool.onFreed = scribble
    for (const gap of recovery.gaps) this.noteGap(gap)
    if (recovery.tornBytes > 0) for (const batch of this.batches) if (batch.position !== null && batch.position.epoch < spool.epoch) this.tornEpochs.add(batch.position.epoch)
    this.process = { files, spool, batches: [], acknowledged: 0, fatal: state.fatal, resumed: false, taking: null, run: null }
    return this.process
  }

  private noteGap (gap: Gap): void {
    this.gaps.push(gap)
    this.counts.gaps++
    if (this.mayLose || this.restoring) return
    const hit = this.batches.find((batch) => batch.position !== null && !this.database.stored.has(batch.id) && !this.isGone(batch.position) && covers(gap, batch.position))
    assert.equal(hit, undefined, `a gap without a flipped bit: ${JSON.stringify(gap)}`)
  }

  private async pump (process: Process, promise: Promise<unknown>): Promise<void> {
    await pumpFiles(process.files, promise.then(() => true), Number.POSITIVE_INFINITY)
  }

  private check (process: Process): void {
    this.checkAnswers(process)
    for (const batch of process.batches) {
      if (batch.answer === null && batch.awaitsCommit && !this.isExcused(batch)) assert.equal(batch.committedAnswer, null, `batch ${batch.id} is never told of its commit`)
    }
    for (const batch of this.batches) {
      if (batch.answer === 'spool_full') this.counts.refusedFull++
      if (batch.answer === 'spool_failed') this.counts.refusedFailed++
      if (batch.answer !== null || this.database.stored.has(batch.id)) continue
      this.counts.lost++
      assert.ok(batch.position !== null && (this.isGone(batch.position) || (this.mayLose && this.isExcused(batch))), `batch ${batch.id} at ${JSON.stringify(batch.position)} was acknowledged, and is gone without a word`)
    }
    if (this.again !== null && !this.mayLose) assert.equal(this.database.rowsOf(this.database.stored, this.again.after, this.again.through), this.again.rows, 'what was promised is stored again')
    const { rowsAppended, recoveredRows, rowsReleased, rowsLost, framesReadBack } = process.spool.counters
    assert.equal(rowsAppended + recoveredRows, rowsReleased + rowsLost, 'rows are not conserved')
    this.counts.readBack += framesReadBack
  }

  /** Lost with a database that was restored, and told by the plan. */
  private isGone (position: Position): boolean {
    return this.gone.some(({ after, through }) => comparePositions(position, after) > 0 && comparePositions(position, through) <= 0)
  }

  private checkAnswers (process: Process): void {
    for (const batch of process.batches) assert.notEqual(batch.answer, undefined, `batch ${batch.id} is never answered`)
  }

  /** Lost to a flipped bit, and reported: as a gap, or as the torn end of the segment that was the last. */
  private isExcused (batch: ModelBatch): boolean {
    const { position } = batch
    assert.ok(position !== null)
    if (this.isGone(position)) return true
    if (this.gaps.some((gap) => covers(gap, position))) return true
    const later = [...this.database.stored.values()].some((stored) => stored.epoch === position.epoch && stored.sequence > position.sequence)
    return this.tornEpochs.has(position.epoch) && !later
  }
}
