/** A drain between a real journal and a fake database, with the checks that apply at the end of every test. */
import { BUILT_IN } from '../points/built-in.js'
import assert from 'node:assert/strict'
import type { Test } from 'tap'
import { Backoff } from '../../../lib/support/backoff.js'
import { createLogger } from '../../../lib/support/log.js'
import type { ClosedBatch } from '../../../lib/journal/journal.js'
import { MemoryJournal } from '../../../lib/journal/memory-journal.js'
import { Drain, type DrainOptions } from '../../../lib/drain/drain.js'
import { FakeServer, texts, type Fault, type StatementKind } from '../database/fake-database.js'
import { encodePayload, type PlainRow } from '../points/rows.js'
import { scribble } from './scribble.js'

export const EPOCH = 5
export const TIME = 1_700_000_000_000_000n
export const rowOf = (value: number): PlainRow => (
  { id: Buffer.from(`S${value % 3}`), timeMicros: TIME, values: [value, null, null] })
export const valueOf = (row: PlainRow): number => row.values[0] ?? -1

/** The real backoff with short delays, which records its calls. */
export class RecordedBackoff extends Backoff {
  readonly calls: string[] = []

  constructor (leastMs = 1) {
    super(leastMs, leastMs * 4)
  }

  override async wait (): Promise<void> {
    this.calls.push('wait')
    await super.wait()
  }

  override reset (): void {
    this.calls.push('reset')
    super.reset()
  }
}

export class Batch implements ClosedBatch {
  readonly payload: Buffer
  readonly rows: number
  readonly told: Array<string | null> = []
  readonly settled: Promise<void>
  private settle: () => void = () => {}

  constructor (readonly points: readonly PlainRow[]) {
    this.payload = encodePayload(points)
    this.rows = points.length
    this.settled = new Promise((resolve) => { this.settle = resolve })
  }

  spooled (error: string | null): void {
    this.told.push(error)
    this.settle()
  }

  committed (): void {}
}

export class Rig {
  readonly server = new FakeServer()
  readonly journal = new MemoryJournal({ spoolId: 'test/0', epoch: EPOCH, bytesMax: 1_000_000 })
  readonly lines: string[] = []
  readonly batches: Batch[] = []
  /** Of each connection. */
  readonly statementMsMax: number[] = []
  stored = 0
  quarantined = 0
  commits = 0
  readonly drain: Drain
  private values = 0

  constructor (
    copyBytesMax = 1_000_000, readonly backoff = new RecordedBackoff(), intervalMs = 0, rest: Partial<DrainOptions> = {}
  ) {
    this.journal.listeners.add({ onFreed: scribble })
    const destination = { write: (line: string) => { this.lines.push(line) } }
    const log = createLogger({ level: 'info', name: 'test', pretty: false, destination })
    this.drain = new Drain({
      catalogue: BUILT_IN,
      journal: this.journal,
      connect: async (statementMsMax) => {
        this.statementMsMax.push(statementMsMax)
        return await this.server.connect()
      },
      log,
      copyBytesMax,
      intervalMs,
      onCommitted: (stored, quarantined, milliseconds) => {
        assert.ok(milliseconds >= 0)
        this.commits++
        this.stored += stored
        this.quarantined += quarantined
      },
      ...rest
    }, backoff)
  }

  append (rows = 2): Batch {
    return this.appendRows(Array.from({ length: rows }, () => rowOf(this.values++)))
  }

  appendRows (rows: readonly PlainRow[]): Batch {
    const batch = new Batch(rows)
    this.batches.push(batch)
    this.journal.append(batch)
    return batch
  }

  fail (on: StatementKind, times: number, rest: Partial<Fault> = {}): void {
    this.server.faults.push({ on, times, effect: 'before', ...rest })
  }

  /** Ends the journal and runs until everything is stored. */
  async finish (running: Promise<void> = this.drain.run()): Promise<void> {
    this.journal.end()
    await running
  }

  /** Everything appended is stored once, acknowledged once, counted once. */
  check (t: Test): void {
    const points = this.batches.flatMap((batch) => batch.points)
    const poison = this.server.quarantined.length
    const accepted = points.filter((row) => this.server.refuses(row) === null)
    t.strictSame(texts(this.server.rows), texts(accepted), 'stored exactly once')
    t.strictSame(this.batches.map(({ told }) => told), this.batches.map(() => [null]), 'told once')
    t.equal(this.stored, points.length - poison, 'stored points are counted')
    t.equal(this.quarantined, poison, 'quarantined points are counted')
    t.equal(this.server.rowsTotal, this.server.rows.length)
    t.equal(this.server.open, 0, 'no connection is left open')
    t.equal(this.drain.state, 'ended')
    t.equal(this.drain.lastError, null)
  }

  get messages (): string[] {
    return this.lines.map((line) => (JSON.parse(line) as { msg: string }).msg)
  }
}
