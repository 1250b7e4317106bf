/** Helpers of the spool's tests. */
import type { Test } from 'tap'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { realFiles } from '../../../lib/spool/file-system.js'
import type { Gap } from '../../../lib/spool/recover/gap.js'
import type { Recovery } from '../../../lib/spool/recover/recovery.js'
import { openSpool } from '../../../lib/spool/open-spool.js'
import type { Spool, SpoolOptions } from '../../../lib/spool/spool.js'
import type { ErrorCode } from '../../../lib/support/errors.js'
import type { ClosedBatch, LedgerPosition, Position } from '../../../lib/journal/journal.js'
import { scribble } from '../../support/journals/scribble.js'

export const ROW_FORMAT = 1

/** A batch that records its answers. */
export class TestBatch implements ClosedBatch {
  payload: Buffer
  readonly spooledAnswers: Array<ErrorCode | null> = []
  readonly committedAnswers: Array<ErrorCode | null> = []
  private resolveSpooled: (error: ErrorCode | null) => void = () => {}
  readonly whenSpooled = new Promise<ErrorCode | null>((resolve) => { this.resolveSpooled = resolve })

  constructor (readonly text: string, readonly rows = 1, public awaitsCommit = true) {
    this.payload = Buffer.from(text)
  }

  spooled (error: ErrorCode | null): void {
    this.spooledAnswers.push(error)
    this.resolveSpooled(error)
  }

  committed (error: ErrorCode | null): void {
    this.committedAnswers.push(error)
  }
}

export async function makeDirectory (t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'spool-test-'))
  t.teardown(async () => { await rm(directory, { recursive: true, force: true }) })
  return directory
}

export interface Opened {
  readonly spool: Spool
  readonly recovery: Recovery
  readonly fatal: Error[]
  readonly gaps: Gap[]
}

/**
 * Opens a spool with limits that no test reaches by accident; closed at the end of the test.
 * @param isAlive false: its process was killed, and nothing is closed
 */
export async function openTestSpool (
  t: Test, options: Partial<SpoolOptions> & { readonly directory: string }, isAlive = (): boolean => true
): Promise<Opened> {
  const fatal: Error[] = []
  const gaps: Gap[] = []
  const { spool, recovery } = await openSpool({
    files: realFiles,
    rowFormat: ROW_FORMAT,
    maxBytes: 1024 * 1024 * 1024,
    reserveBytes: 0,
    onFatal: (error) => fatal.push(error),
    onGap: (gap) => gaps.push(gap),
    ...options
  })
  spool.listeners.add({ onFreed: scribble })
  t.teardown(async () => { if (isAlive()) await spool.close() })
  return { spool, recovery, fatal, gaps }
}

/** Appends texts as batches, and waits for the answer to each. */
export async function appendAll (spool: Spool, texts: readonly string[]): Promise<TestBatch[]> {
  const batches: TestBatch[] = []
  for (const text of texts) {
    const batch = new TestBatch(text)
    batches.push(batch)
    spool.append(batch)
    await batch.whenSpooled
  }
  return batches
}

/** The ledger at a frame of the spool's current epoch. */
export function ledgerAt ({ epoch, epochId }: Spool, sequence: number): LedgerPosition {
  return { epoch, epochId, sequence }
}

export interface Drained {
  readonly texts: string[]
  readonly positions: Position[]
}

/** Takes and releases all waiting frames. */
export async function drain (spool: Spool, bytesMax = 1_000_000): Promise<Drained> {
  const texts: string[] = []
  const positions: Position[] = []
  while (spool.backlog().frames > 0) {
    const run = await spool.take(bytesMax)
    if (run === null) break
    for (const [index, payload] of run.payloads.entries()) {
      texts.push(payload.toString())
      positions.push({ epoch: run.epoch, sequence: run.firstSequence + index })
    }
    spool.release(run)
  }
  return { texts, positions }
}
