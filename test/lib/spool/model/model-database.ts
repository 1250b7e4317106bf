/** The model's database: the ledger, what is stored, and a backup of both. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { FrameRun, LedgerPosition, Position } from '../../../../lib/journal/journal.js'
import { comparePositions } from '../../../../lib/spool/format/position.js'
import type { FoundFrames } from '../../../../lib/spool/operate/resolution.js'
import type { Frame } from '../../../../lib/spool/frame.js'
import type { BatchWorld, ModelBatch } from './model-parts.js'

/** A backup. */
export interface Saved {
  readonly ledger: LedgerPosition | null
  readonly stored: ReadonlyMap<number, Position>
}

export class ModelDatabase {
  ledger: LedgerPosition | null = null
  backup: Saved | null = null
  /** Positions of the stored batches, by id. */
  readonly stored = new Map<number, Position>()
  /** Ids of all batches ever stored, even if a restored backup lacks them. */
  readonly committed = new Set<number>()
  /** Id of the batch that a world last stored of its own. */
  private last = new Map<BatchWorld, number>()

  /** @param batches all batches ever sent, by id */
  constructor (private readonly batches: readonly ModelBatch[]) {}

  /**
   * One transaction of a world. False: the ledger is not at `from`. What a world has sent it also stores in order; a
   * copy may add later what the original has lost, without having acknowledged it.
   */
  commit (world: BatchWorld, from: LedgerPosition | null, run: FrameRun): boolean {
    if (!isDeepStrictEqual(this.ledger, from)) return false
    const { epoch, epochId, firstSequence, lastSequence, payloads } = run
    assert.ok(from !== null)
    const first = { epoch, sequence: firstSequence }
    assert.ok(comparePositions(first, from) > 0, 'frames that the ledger covers are given out')
    assert.equal(payloads.length, lastSequence - firstSequence + 1)
    for (const [index, payload] of payloads.entries()) {
      this.store(world, payload, { epoch, sequence: firstSequence + index })
    }
    this.ledger = { epoch, sequence: lastSequence, epochId }
    return true
  }

  /** As spool resolve looks frames up in a real database. */
  readonly find = async (parts: AsyncIterable<readonly Frame[]>): Promise<FoundFrames> => {
    let found: FoundFrames = { through: null, rows: 0, rowsBehind: 0 }
    for await (const part of parts) {
      for (const { epoch, sequence, payload, rows } of part) {
        if (!this.stored.has(idOf(payload))) return found
        found = { through: { epoch, sequence }, rows: found.rows + rows, rowsBehind: 0 }
      }
    }
    return found
  }

  save (): Saved {
    return { ledger: this.ledger, stored: new Map(this.stored) }
  }

  load (saved: Saved): void {
    this.ledger = saved.ledger
    this.stored.clear()
    this.last.clear()
    for (const [id, position] of saved.stored) {
      this.stored.set(id, position)
      this.last.set(this.batches[id]!.world, id)
    }
  }

  private store (world: BatchWorld, payload: Buffer, position: Position): void {
    const id = idOf(payload)
    const batch = this.batches[id]
    assert.ok(batch !== undefined, `stored what was never sent: ${payload.toString()}`)
    assert.ok(!this.stored.has(id), `batch ${id} is stored twice`)
    const isRefused = batch.answer === 'spool_full' || batch.answer === 'shutting_down'
    assert.ok(!isRefused, `batch ${id} was refused with ${String(batch.answer)}, and is stored`)
    if (batch.position !== null) assert.deepEqual(position, batch.position)
    this.stored.set(id, position)
    this.committed.add(id)
    if (batch.world !== world) return
    const last = this.last.get(world) ?? -1
    assert.ok(id > last, `batch ${id} is stored after batch ${last}`)
    this.last.set(world, id)
  }
}

function idOf (payload: Buffer): number {
  return Number(payload.toString().split(':')[0])
}
