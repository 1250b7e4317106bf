/**
 * A world for the spool: a disk with faults, a ledger, senders, a drain and copies of the spool, and a record of every
 * answer.
 *
 * Each step does one random thing. settle() then ends the faults, drains everything, and checks:
 * - what was acknowledged is stored, or was lost to damage and reported;
 * - nothing is stored twice, out of order, without having been sent, or after being refused with spool_full;
 * - every batch of a process that was not killed is answered exactly once;
 * - the spool never refuses its own ledger, unless damage hides what it recorded;
 * - a ledger that was set back, set ahead, deleted, restored, or moved by a copy is noticed while the spool runs, and
 *   at the next start if its segments show it; and `spool resolve` then stores nothing twice and loses nothing that is
 *   on disk. The same is true of the copy.
 */
import assert from 'node:assert/strict'
import { evidenceOf, type LedgerEvidence } from '../../../../lib/spool/recover/ledger-position.js'
import { planResolution } from '../../../../lib/spool/operate/resolution.js'
import { openSpool } from '../../../../lib/spool/open-spool.js'
import { POSITION_START, comparePositions } from '../../../../lib/spool/format/position.js'
import { findSegments, surveySegments } from '../../../../lib/spool/recover/survey.js'
import type { FrameRun, LedgerFault, LedgerPosition, Position } from '../../../../lib/journal/journal.js'
import { failWholeFiles, flipBit } from './model-faults.js'
import { Checks } from '../model-checks.js'
import { SpoolCopy } from '../model-copy.js'
import { ModelDatabase, type Saved } from './model-database.js'
import { scribble } from '../../../support/journals/scribble.js'
import {
  ModelBatch, NO_COUNTS, flush, pick, pumpFiles, rethrow, type Process, type WorldCounts
} from './model-parts.js'
import { isPromised, pickTampering, type Tampering } from '../tampering.js'
import { FakeDisk, FakeFiles, type Random } from '../fake-files.js'

const DIRECTORY = '/data/spool/slot-0'
const COPIES_MAX = 2

export class World {
  readonly counts: WorldCounts = { ...NO_COUNTS }
  private readonly disk: FakeDisk
  private readonly batches: ModelBatch[] = []
  private readonly database = new ModelDatabase(this.batches)
  private readonly checks = new Checks(
    this.database, this.counts, () => this.batches.filter(({ world }) => world === this))

  private readonly copies: SpoolCopy[] = []
  private process: Process | null = null
  private clockMs = 1_000_000
  private settling = false
  private readonly bounds: { segmentBytes: number, memoryMaxBytes: number, maxBytes: number }

  constructor (private readonly random: Random, private readonly faults: boolean) {
    this.disk = new FakeDisk(random)
    this.bounds = {
      segmentBytes: 400 + random(3000),
      memoryMaxBytes: random(2) === 0 ? 1_000_000 : 600 + random(4000),
      maxBytes: random(3) === 0 ? 3000 + random(9000) : 1_000_000
    }
  }

  /** One random thing. */
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
    else if (this.faults) await this.injectFault(process)
  }

  /** Ends the faults, drains everything, and checks what must be true then. */
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
      assert.ok(turn < 10_000, `the spool does not become empty: ${JSON.stringify(process.spool.backlog())}`)
      await this.drain(process)
      process = await this.running()
      await this.io(process, Number.POSITIVE_INFINITY)
    }
    this.checks.checkAll(process)
    await this.pump(process, process.spool.close())
    for (const copy of this.copies) await copy.finish(this.clockMs)
    return this.counts
  }

  /** Whether the database has a batch. */
  holds (id: number): boolean {
    return this.database.stored.has(id)
  }

  /** Only acknowledged frames are numbered, in the order of their answers. */
  nextPosition (): Position {
    const process = this.process
    assert.ok(process !== null)
    this.counts.acknowledged++
    return { epoch: process.spool.epoch, sequence: ++process.acknowledged }
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
    await flush()
    if (!process.resumed) {
      await this.resume(process)
    } else if (process.run !== null) {
      this.commit(process, process.run)
    } else if (process.taking === null && spool.backlog().frames > 0) {
      this.take(process)
    } else if (this.random(50) === 0) {
      process.resumed = false
    }
  }

  private async resume (process: Process): Promise<void> {
    const { spool } = process
    // A pending take() continues; a run that it returned before is returned again.
    process.run = null
    if (this.faults && !this.settling && this.random(8) === 0 && await this.tamper(process)) return
    const { ledger } = this.database
    const fault = spool.resume(ledger)
    const isForeign = this.isForeign(ledger)
    if (isForeign) this.counts.movedByCopy++
    assert.ok(!isForeign || fault !== null, 'a ledger that a copy has moved is believed')
    if (fault !== null) {
      if (!isForeign) this.excuse(fault)
      await this.resolve()
      return
    }
    // As the drain does: a new spool gets its row before its first frame is taken.
    this.database.ledger ??= POSITION_START
    process.known = this.database.ledger
    if (ledger === null) assert.equal(spool.resume(process.known), null)
    process.resumed = true
  }

  /** Whether a copy has committed a frame of its own. */
  private isForeign (ledger: LedgerPosition | null): boolean {
    const epochId = ledger?.epochId ?? null
    return epochId !== null && this.copies.some(({ epochIds }) => epochIds.has(epochId))
  }

  /** A copy may have stored what this spool has not given out yet. Otherwise only damage can hide an epoch's end. */
  private excuse ({ kind, message }: LedgerFault): void {
    const isExcused = kind !== 'ledger_behind' && (this.copies.length > 0 || this.checks.mayLose)
    assert.ok(isExcused, `the spool refuses its own ledger: ${message}`)
    this.counts.falseAlarms++
  }

  private take (process: Process): void {
    process.taking = process.spool.take(1 + this.random(600)).then((run) => {
      process.taking = null
      process.run = run
    }, (error: unknown) => {
      // A segment cannot be opened now: take() may be called again.
      assert.match((error as { code?: string }).code ?? '', /^E/)
      process.taking = null
    })
    process.taking.catch(rethrow)
  }

  /** One transaction; its answer may be lost, whether or not it committed. */
  private commit (process: Process, run: FrameRun): void {
    process.run = null
    const fate = this.faults ? this.random(20) : 0
    const committed = fate !== 19 && this.database.commit(this, process.known, run)
    if (committed) {
      this.counts.stored += run.payloads.length
      const mayBackUp = !this.checks.wasRestored && this.copies.length === 0
      if (mayBackUp && this.random(40) === 0) this.database.backup = this.database.save()
    }
    process.resumed = committed && fate !== 18
    if (!process.resumed) return
    process.known = this.database.ledger
    process.spool.release(run)
  }

  /**
   * Changes the ledger, or restores the database. The spool must notice, and notice again at the next start if its
   * segments show it. False: nothing was changed.
   */
  private async tamper (process: Process): Promise<boolean> {
    const { known } = process
    const { ledger, backup } = this.database
    // A run about to be returned counts as given out; after damage a start may not have read all that is on disk.
    if (process.taking !== null || ledger === null) return false
    if (known === null && this.checks.mayLose) return false
    const tampering = pickTampering(this.random, ledger, backup?.ledger ?? null)
    const recorded = await this.evidenceOnDisk(process)
    const evidence = known === null ? recorded : { ...recorded, entered: true, released: known }
    if (tampering === null || !isPromised(tampering, evidence)) return false
    const before = this.database.save()
    if (tampering.what === 'restored' && backup !== null) {
      this.database.load(backup)
      this.database.backup = null
    }
    this.database.ledger = tampering.position
    this.counts[tampering.what]++
    this.assertNoticed(process, tampering, 'at once')
    this.append(process, this.random(3))
    await this.io(process, Number.POSITIVE_INFINITY)
    await this.end(process)
    const next = await this.running()
    const isNoticed = isPromised(tampering, await this.evidenceOnDisk(next))
    if (isNoticed) this.assertNoticed(next, tampering, 'at the next start')
    if (tampering.what === 'restored') {
      await this.noteGone(before, next)
      await this.resolve()
    } else if (!isNoticed && this.random(2) === 0) {
      // The row is put right by hand before a start believes it.
      this.database.ledger = before.ledger
    } else {
      await this.resolve(before)
    }
    return true
  }

  private assertNoticed ({ spool }: Process, { what, position, kinds }: Tampering, when: string): void {
    assert.match(spool.resume(position)?.kind ?? 'none', kinds, `a ledger that was ${what} is not noticed ${when}`)
  }

  /** Sets the ledger to where the database's points end. @param before with the right ledger */
  private async resolve (before: Saved | null = null): Promise<void> {
    const process = this.process!
    await this.shutDown(process)
    this.disk.heal()
    const { spool: { spoolId } } = process
    const { find } = this.database
    const options = { files: this.plainFiles(), directory: DIRECTORY, spoolId, rowFormat: 1, find }
    const plan = await planResolution(options, this.database.ledger)
    if (plan !== null) this.database.ledger = plan.position
    if (before === null || this.checks.mayLose) return
    const [resolved, right] = [this.database.ledger ?? POSITION_START, before.ledger ?? POSITION_START]
    assert.ok(comparePositions(resolved, right) <= 0, 'the ledger is beyond what is stored')
  }

  /** Which frames neither the restored database nor the disk has. */
  private async noteGone (before: Saved, process: Process): Promise<void> {
    const { released } = await this.evidenceOnDisk(process)
    const through = this.checks.mayLose ? before.ledger ?? POSITION_START : released
    this.checks.addGone({ after: this.database.ledger ?? POSITION_START, through })
  }

  /** Starts a copy of the spool beside it. */
  private async copy (process: Process): Promise<void> {
    if (this.copies.length === COPIES_MAX || this.checks.mayLose || this.checks.wasRestored) return
    // Frames in the page cache alone may survive in one of the two only; both may store them, out of order.
    if (!process.spool.idle || !this.disk.isDurable) return
    this.database.backup = null
    if (this.random(2) === 0) await this.end(process)
    const copy = new SpoolCopy(this.database, this.batches, DIRECTORY, this.random)
    this.copies.push(copy)
    this.counts.copied++
    await copy.begin(this.disk, this.clockMs)
  }

  private async evidenceOnDisk ({ spool: { spoolId } }: Process): Promise<LedgerEvidence> {
    const files = this.plainFiles()
    const found = await findSegments(files, DIRECTORY)
    return evidenceOf(spoolId, await surveySegments(files, found.filter((one) => !one.unfinished)))
  }

  /** Closes or kills the process, without a power cut, and ends the faults. */
  private async end (process: Process): Promise<void> {
    if (this.random(2) === 0) {
      await this.shutDown(process)
    } else {
      process.files.kill()
      this.process = null
    }
    this.disk.heal()
  }

  /** The process; started if there is none. */
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

  private async injectFault (process: Process): Promise<void> {
    const { random, disk } = this
    const dice = random(100)
    // What damage has cost the original a copy may still have, and store out of order.
    const mayDamage = this.copies.length === 0
    if (dice < 25) this.crash(process)
    else if (dice < 30) this.counts.flips += mayDamage ? flipBit(disk, random) : 0
    else if (dice < 55) disk.fail('sync', random(6) === 0 ? 'ENOSPC' : 'EIO', 1 + random(3))
    else if (dice < 65) disk.fail('write', pick(random, ['EIO', 'ENOSPC', 'short'] as const), 1 + random(3))
    else if (dice < 75) this.checks.readFaults += mayDamage ? failWholeFiles(disk, random) : 0
    else if (dice < 85) disk.capacityBytes = disk.usedBytes + random(400)
    else if (dice < 91) disk.heal()
    else if (dice < 95) await this.copy(process)
    else this.clockMs += random(2) === 0 ? -random(100_000) : random(100_000)
  }

  /** Kills the process, half of the time with a power cut. */
  private crash (process: Process): void {
    process.files.kill()
    if (this.random(2) === 0) this.disk.powerCut()
    this.process = null
    this.counts.crashes++
    this.counts.readBack += process.spool.counters.framesReadBack
  }

  private async shutDown (process: Process): Promise<void> {
    await this.pump(process, process.spool.close())
    this.checks.checkAnswers(process)
    this.process = null
  }

  /** Null: the start failed or crashed. */
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
      onGap: (gap) => { this.checks.addGap(gap) }
    })
    let failure: unknown = null
    const settled = opening.then(() => true, (error: unknown) => {
      failure = error
      return true
    })
    const crashAfter = this.faults && this.random(10) === 0 ? this.random(30) : Number.POSITIVE_INFINITY
    if (!await pumpFiles(files, settled, crashAfter) || failure !== null) {
      this.failStart(files, failure)
      return null
    }
    const { spool, recovery } = await opening
    spool.listeners.add({ onFreed: scribble })
    this.checks.addRecovery(recovery, spool.epoch)
    const { fatal } = state
    this.process = {
      files, spool, batches: [], acknowledged: 0, fatal, resumed: false, known: null, taking: null, run: null
    }
    return this.process
  }

  private failStart (files: FakeFiles, failure: unknown): void {
    if (failure !== null) {
      const { code = '', stack = '' } = failure as { code?: string, stack?: string }
      assert.match(code, /^(E|spool_full|spool_failed)/, stack)
    }
    files.kill()
    if (this.random(2) === 0) this.disk.powerCut()
    this.disk.heal()
  }

  private async pump (process: Process, promise: Promise<unknown>): Promise<void> {
    await pumpFiles(process.files, promise.then(() => true), Number.POSITIVE_INFINITY)
  }
}
