/**
 * A copy of the model's spool, as made by cloning a disk: it has the frames of the original, accepts batches of its
 * own, and stores both in the same database. Its disk has no faults.
 */
import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import type { FrameRun, LedgerPosition, Position } from '../../../lib/journal/journal.js'
import { POSITION_START } from '../../../lib/spool/format/position.js'
import { identifySpool } from '../../../lib/spool/operate/inspect.js'
import { planResolution } from '../../../lib/spool/operate/resolution.js'
import { openSpool } from '../../../lib/spool/open-spool.js'
import type { Spool } from '../../../lib/spool/spool.js'
import { FakeDisk, FakeFiles, type Random } from './fake-files.js'
import type { ModelDatabase } from './model/model-database.js'
import { ModelBatch, flush, type BatchWorld } from './model/model-parts.js'

export class SpoolCopy implements BatchWorld {
  /** Of its own epochs. */
  readonly epochIds = new Set<string>()
  private readonly disk: FakeDisk
  private readonly own: ModelBatch[] = []
  private epoch = 0
  private acknowledged = 0

  constructor (
    private readonly database: ModelDatabase,
    private readonly batches: ModelBatch[],
    private readonly directory: string,
    private readonly random: Random
  ) {
    this.disk = new FakeDisk(random)
  }

  holds (id: number): boolean {
    return this.database.stored.has(id)
  }

  nextPosition (): Position {
    return { epoch: this.epoch, sequence: ++this.acknowledged }
  }

  /** Copies the disk, whether or not a program is using it, and runs on the copy for a while. */
  async begin (disk: FakeDisk, nowMs: number): Promise<void> {
    const files = new FakeFiles(this.disk)
    for (const path of disk.paths()) {
      await files.makeDirectory(dirname(path))
      const file = await files.create(path)
      await file.write([Buffer.from(disk.inode(path).current)], 0)
      await file.sync()
      await files.syncDirectory(dirname(path))
    }
    const spool = await this.open(nowMs)
    for (let count = this.random(4); count > 0; count--) await this.append(spool)
    await this.drain(spool, this.random(4))
    await spool.close()
  }

  /** Stores everything that is left, as an operator would. */
  async finish (nowMs: number): Promise<void> {
    const { database, directory } = this
    const files = new FakeFiles(this.disk)
    const spoolId = await identifySpool(files, directory)
    assert.ok(spoolId !== null)
    // Even if the ledger fits: the resolution of another copy may have set it back to a frame that both have.
    const options = { files, directory, spoolId, rowFormat: 1, find: database.find }
    const plan = await planResolution(options, database.ledger)
    if (plan !== null) database.ledger = plan.position
    const spool = await this.open(nowMs)
    assert.equal(spool.resume(database.ledger), null)
    await this.drain(spool, Number.POSITIVE_INFINITY)
    await spool.close()
    for (const { answer, id } of this.own) {
      assert.ok(answer !== null || this.holds(id), `batch ${id} of a copy was acknowledged, and is lost`)
    }
  }

  private async open (nowMs: number): Promise<Spool> {
    const { spool } = await openSpool({
      files: new FakeFiles(this.disk),
      directory: this.directory,
      rowFormat: 1,
      maxBytes: 1_000_000,
      reserveBytes: 0,
      segmentBytes: 1_000,
      now: () => nowMs,
      onFatal: () => { assert.fail('the disk of a copy has no faults') },
      onGap: () => {}
    })
    this.epoch = spool.epoch
    this.epochIds.add(spool.epochId)
    return spool
  }

  private async append (spool: Spool): Promise<void> {
    const batch = new ModelBatch(this, this.batches.length, this.random)
    this.batches.push(batch)
    this.own.push(batch)
    spool.append(batch)
    while (batch.answer === undefined) await flush()
  }

  /** Some transactions, while there are frames and the ledger fits. */
  private async drain (spool: Spool, transactions: number): Promise<void> {
    if (spool.resume(this.database.ledger) !== null) return
    const from = (): LedgerPosition => {
      this.database.ledger ??= POSITION_START
      return this.database.ledger
    }
    spool.resume(from())
    for (let count = 0; count < transactions && spool.backlog().frames > 0; count++) {
      const run = await spool.take(1 + this.random(600)) as FrameRun
      assert.ok(this.database.commit(this, from(), run))
      spool.release(run)
    }
  }
}
