/**
 * A world for the spool: a disk with faults, a ledger, senders and a drain, and a record of what was answered.
 *
 * Each step does one thing at random. settle() then lets the faults end, drains everything, and checks:
 * - what was acknowledged is stored, or was hit by a flipped bit and reported;
 * - nothing is stored twice, in another order, that was not sent, or that was refused with spool_full;
 * - every batch of a process that lived is answered exactly once;
 * - the spool never takes its own ledger for a wrong one.
 */
import assert from 'node:assert/strict'
import { openSpool, type Spool } from '../../../lib/spool/spool.js'
import { comparePositions } from '../../../lib/spool/position.js'
import type { Gap } from '../../../lib/spool/gap.js'
import type { ErrorCode } from '../../../lib/errors.js'
import type { ClosedBatch, FrameRun, Position } from '../../../lib/pipeline/journal.js'
import { FakeDisk, FakeFiles, type Fault, type Operation, type Random } from './fake-files.js'

const DIRECTORY = '/data/spool/slot-0'

class ModelBatch implements ClosedBatch {
  payload: Buffer
  readonly rows: number
  readonly awaitsCommit: boolean
  answer: ErrorCode | null | undefined = undefined
  committedAnswer: ErrorCode | null | undefined = undefined
  /** Of its frame, once acknowledged. */
  position: Position | null = null

  constructor (private readonly world: World, readonly id: number, random: Random) {
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
    assert.equal(this.committedAnswer, undefined, `batch ${this.id} is told twice of its commit`)
    this.committedAnswer = error
    if (error === null) assert.ok(this.world.stored.has(this.id), `batch ${this.id} is told committed, and is not stored`)
  }
}

interface Process {
  readonly files: FakeFiles
  readonly spool: Spool
  readonly batches: ModelBatch[]
  acknowledged: number
  fatal: boolean
  /** The drain's: whether it knows where the ledger stands. */
  resumed: boolean
  taking: Promise<void> | null
  run: FrameRun | null
}

/** Counts of what happened, so that a test can tell that the faults were met. */
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
}

export class World {
  readonly counts: WorldCounts = { acknowledged: 0, stored: 0, refusedFull: 0, refusedFailed: 0, crashes: 0, flips: 0, gaps: 0, lost: 0, readBack: 0, fatals: 0 }
  /** Positions by id of what the database holds, in order of their commits. */
  readonly stored = new Map<number, Position>()
  private readonly disk: FakeDisk
  private readonly batches: ModelBatch[] = []
  private readonly gaps: Gap[] = []
  /** Epochs whose last segment ended in torn bytes when it was recovered. */
  private readonly tornEpochs = new Set<number>()
  private ledger: Position | null = null
  private process: Process | null = null
  private clockMs = 1_000_000
  private lastStoredId = -1
  private readFaults = 0
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
    if (this.process?.fatal === true) this.crash(this.process)
    let process = this.process
    for (let start = 1; process === null; start++) {
      assert.ok(start <= 20, 'the spool does not start')
      process = await this.open()
    }
    const { spool } = process
    for (let turn = 0; turn < 3; turn++) {
      await this.pump(process, spool.checkRoom())
      await this.io(process, Number.POSITIVE_INFINITY)
    }
    this.append(process, 1)
    await this.io(process, Number.POSITIVE_INFINITY)
    for (let turn = 0; spool.backlog().frames > 0; turn++) {
      assert.ok(turn < 10_000, `the spool does not run empty: ${JSON.stringify(spool.backlog())}`)
      await this.drain(process)
      await this.io(process, Number.POSITIVE_INFINITY)
    }
    this.check(process)
    await this.pump(process, spool.close())
    return this.counts
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
      assert.equal(spool.resume(this.ledger), null, 'the spool refuses its own ledger')
      // As the drain does: a spool that the ledger does not know is entered before its first frame is asked for.
      this.ledger ??= { epoch: 0, sequence: 0 }
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
      assert.ok(this.ledger === null || comparePositions({ epoch: run.epoch, sequence: run.firstSequence }, this.ledger) > 0, 'frames that the ledger covers are given out')
      assert.equal(run.payloads.length, run.lastSequence - run.firstSequence + 1)
      for (const [index, payload] of run.payloads.entries()) this.store(payload, { epoch: run.epoch, sequence: run.firstSequence + index })
      this.ledger = { epoch: run.epoch, sequence: run.lastSequence }
    }
    if (fate >= 18) process.resumed = false
    else process.spool.release(run)
  }

  private store (payload: Buffer, position: Position): void {
    const id = Number(payload.toString().split(':')[0])
    const batch = this.batches[id]
    assert.ok(batch !== undefined, `stored what was never sent: ${payload.toString()}`)
    assert.ok(id > this.lastStoredId, `batch ${id} is stored twice or after batch ${this.lastStoredId}`)
    assert.ok(batch.answer !== 'spool_full' && batch.answer !== 'shutting_down', `batch ${id} was refused with ${String(batch.answer)}, and is stored`)
    if (batch.position !== null) assert.deepEqual(position, batch.position)
    this.lastStoredId = id
    this.stored.set(id, position)
    this.counts.stored++
  }

  private injectFault (process: Process): void {
    const { random, disk } = this
    const dice = random(100)
    if (dice < 25) this.crash(process)
    else if (dice < 30 && this.faults) this.flip()
    else if (dice < 55) disk.fail('sync', random(6) === 0 ? 'ENOSPC' : 'EIO', 1 + random(3))
    else if (dice < 65) disk.fail('write', pick(random, ['EIO', 'ENOSPC', 'short'] as const), 1 + random(3))
    else if (dice < 75) this.failMeta()
    else if (dice < 85) disk.capacityBytes = disk.usedBytes + random(400)
    else if (dice < 95) disk.heal()
    else this.clockMs += random(2) === 0 ? -random(100_000) : random(100_000)
  }

  /** Faults of what is done with whole files; one alone is seldom more than a refusal, so two come together. */
  private failMeta (): void {
    for (let faults = 0; faults < 2; faults++) {
      const operation = pick<Operation>(this.random, ['create', 'write', 'sync', 'syncDirectory', 'truncate', 'unlink', 'open', 'read'])
      if (operation === 'read') this.readFaults++
      this.disk.fail(operation, pick<Fault>(this.random, ['EIO', 'ENOSPC']), 1)
    }
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

  private flip (): void {
    const paths = this.disk.paths().filter((path) => path.endsWith('.seg') || path.endsWith('spool-id'))
    if (paths.length === 0) return
    const inode = this.disk.inode(pick(this.random, paths))
    if (inode.current.length === 0) return
    inode.flip(this.random(inode.current.length * 8))
    this.counts.flips++
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
    if (!await this.pumpFiles(files, settled, crashAfter) || failure !== null) {
      if (failure !== null) assert.match((failure as { code?: string }).code ?? '', /^(E|spool_full|spool_failed)/, (failure as Error).stack ?? '')
      files.kill()
      if (this.random(2) === 0) this.disk.powerCut()
      this.disk.heal()
      return null
    }
    const { spool, recovery } = await opening
    for (const gap of recovery.gaps) this.noteGap(gap)
    if (recovery.tornBytes > 0) for (const batch of this.batches) if (batch.position !== null && batch.position.epoch < spool.epoch) this.tornEpochs.add(batch.position.epoch)
    this.process = { files, spool, batches: [], acknowledged: 0, fatal: state.fatal, resumed: false, taking: null, run: null }
    return this.process
  }

  private noteGap (gap: Gap): void {
    this.gaps.push(gap)
    this.counts.gaps++
    if (this.mayLose) return
    const hit = this.batches.find((batch) => batch.position !== null && !this.stored.has(batch.id) && covers(gap, batch.position))
    assert.equal(hit, undefined, `a gap without a flipped bit: ${JSON.stringify(gap)}`)
  }

  private async pump (process: Process, promise: Promise<unknown>): Promise<void> {
    await this.pumpFiles(process.files, promise.then(() => true), Number.POSITIVE_INFINITY)
  }

  /** Lets operations happen until the promise is settled. False: cut off after that many. */
  private async pumpFiles (files: FakeFiles, promise: Promise<boolean>, operationsMax: number): Promise<boolean> {
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

  private check (process: Process): void {
    this.checkAnswers(process)
    for (const batch of process.batches) {
      if (batch.answer === null && batch.awaitsCommit && !this.isExcused(batch)) assert.equal(batch.committedAnswer, null, `batch ${batch.id} is never told of its commit`)
    }
    for (const batch of this.batches) {
      if (batch.answer === 'spool_full') this.counts.refusedFull++
      if (batch.answer === 'spool_failed') this.counts.refusedFailed++
      if (batch.answer !== null || this.stored.has(batch.id)) continue
      this.counts.lost++
      assert.ok(this.mayLose && this.isExcused(batch), `batch ${batch.id} at ${JSON.stringify(batch.position)} was acknowledged, and is gone without a word`)
    }
    const { rowsAppended, recoveredRows, rowsReleased, rowsLost, framesReadBack } = process.spool.counters
    assert.equal(rowsAppended + recoveredRows, rowsReleased + rowsLost, 'rows are not conserved')
    this.counts.readBack += framesReadBack
  }

  private checkAnswers (process: Process): void {
    for (const batch of process.batches) assert.notEqual(batch.answer, undefined, `batch ${batch.id} is never answered`)
  }

  /** Lost to a flipped bit, and reported: as a gap, or as the torn end of the segment that was the last. */
  private isExcused (batch: ModelBatch): boolean {
    const { position } = batch
    assert.ok(position !== null)
    if (this.gaps.some((gap) => covers(gap, position))) return true
    const later = [...this.stored.values()].some((stored) => stored.epoch === position.epoch && stored.sequence > position.sequence)
    return this.tornEpochs.has(position.epoch) && !later
  }
}

function covers (gap: Gap, position: Position): boolean {
  return gap.epoch === position.epoch && gap.fromSequence <= position.sequence && (gap.toSequence === null || gap.toSequence >= position.sequence)
}

function pick<T> (random: Random, list: readonly T[]): T {
  return list[random(list.length)]!
}

async function flush (): Promise<void> {
  await new Promise((resolve) => { setImmediate(resolve) })
}

function rethrow (error: unknown): void {
  setImmediate(() => { throw error as Error })
}
