/** The database of the model: the ledger and what is stored, and a backup of both. */
import assert from 'node:assert/strict'
import type { Position } from '../../../../lib/journal/journal.js'
import { comparePositions } from '../../../../lib/spool/format/position.js'
import type { ModelBatch } from './model-parts.js'

/** What a backup holds. */
export interface Saved {
  readonly ledger: Position | null
  readonly ledgerRows: number
  readonly stored: ReadonlyMap<number, Position>
  readonly lastStoredId: number
}

export class ModelDatabase {
  ledger: Position | null = null
  /** As the row of the ledger counts them. */
  ledgerRows = 0
  backup: Saved | null = null
  /** Positions by id of what is stored, in order of their commits. */
  readonly stored = new Map<number, Position>()
  private lastStoredId = -1

  /** @param batches all that were ever sent, by id */
  constructor (private readonly batches: readonly ModelBatch[]) {}

  store (payload: Buffer, position: Position): void {
    const id = Number(payload.toString().split(':')[0])
    const batch = this.batches[id]
    assert.ok(batch !== undefined, `stored what was never sent: ${payload.toString()}`)
    assert.ok(id > this.lastStoredId, `batch ${id} is stored twice or after batch ${this.lastStoredId}`)
    assert.ok(batch.answer !== 'spool_full' && batch.answer !== 'shutting_down', `batch ${id} was refused with ${String(batch.answer)}, and is stored`)
    if (batch.position !== null) assert.deepEqual(position, batch.position)
    this.lastStoredId = id
    this.stored.set(id, position)
  }

  /** Rows of what a map such as `stored` holds between two positions. */
  rowsOf (stored: ReadonlyMap<number, Position>, after: Position, through: Position): number {
    return [...stored].filter(([, position]) => comparePositions(position, after) > 0 && comparePositions(position, through) <= 0)
      .reduce((sum, [id]) => sum + (this.batches[id]?.rows ?? 0), 0)
  }

  save (): Saved {
    return { ledger: this.ledger, ledgerRows: this.ledgerRows, stored: new Map(this.stored), lastStoredId: this.lastStoredId }
  }

  load (saved: Saved): void {
    this.ledger = saved.ledger
    this.ledgerRows = saved.ledgerRows
    this.lastStoredId = saved.lastStoredId
    this.stored.clear()
    for (const [id, position] of saved.stored) this.stored.set(id, position)
  }
}
