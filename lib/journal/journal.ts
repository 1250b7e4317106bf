/**
 * What stands between batch and COPY: a queue of frames. In memory (MemoryJournal) or on disk (the spool).
 *
 *   Batcher --append--> Journal --take--> Drain --release--> Journal
 *
 * A frame is one closed batch: rows in the format of rows.ts, opaque here. Frames of an epoch are numbered from
 * 1 without gaps. The journal gives out only frames that are as durable as it makes them (after fsync),
 * in order, and keeps them until they are released.
 */
import type { ErrorCode } from '../support/errors.js'
import type { Pressure } from './pressure.js'

/** A closed batch, handed over by the batcher. */
export interface ClosedBatch {
  /** The journal owns it from then on, and puts an empty one in its place once the bytes stand on disk alone. */
  payload: Buffer
  /** Points in it. */
  readonly rows: number
  /** False: nobody waits for committed(), and a journal that no longer holds the frame in memory need not call it. */
  readonly awaitsCommit?: boolean
  /** Once: the frame is durable, or will never be acknowledged. Without a disk: called by committed(). */
  spooled (error: ErrorCode | null): void
  /** Once, after spooled(null): its transaction has committed, or the journal was closed before (error). */
  committed (error: ErrorCode | null): void
}

/** Where the ledger of a spool stands: the last committed frame. Positions are ordered by epoch, then sequence. */
export interface Position {
  readonly epoch: number
  /** 0: no frame of this epoch yet. */
  readonly sequence: number
}

/** Why a journal cannot go on from the ledger's position: its database is not the one that its frames went to. */
export interface LedgerFault {
  readonly kind: 'ledger_missing' | 'ledger_behind' | 'ledger_ahead'
  /** What was found, and what to do. */
  readonly message: string
}

/** Consecutive frames of one epoch, to be committed in one transaction. */
export interface FrameRun {
  readonly epoch: number
  readonly firstSequence: number
  readonly lastSequence: number
  readonly payloads: readonly Buffer[]
  /** Points. */
  readonly rows: number
  readonly bytes: number
}

/** What was appended and is not released, durable or not yet. */
export interface JournalBacklog {
  readonly frames: number
  readonly rows: number
  readonly bytes: number
  /** Age of the oldest frame that is not committed; 0 if there is none. */
  readonly oldestMs: number
}

export interface Journal {
  /** Key of its row in the ledger. */
  readonly spoolId: string
  /** Points of frames that were released, since this process opened the journal. */
  readonly releasedRows: number
  /** Points of frames that damage of the disk has cost. */
  readonly lostRows: number
  /** Points that were there when this process opened the journal. */
  readonly recoveredRows: number
  /** No write is under way: a batch that is handed over now is written at once. */
  readonly idle: boolean
  /** Set by the batcher: called each time the journal becomes idle. */
  onIdle: () => void
  /** Set by the batcher: called with payloads that nobody reads any more; their memory is used again at once. Those of frames that were read back from disk are among them. */
  onFreed: (payload: Buffer) => void
  /** Set by the drain: called when a batch comes whose sender waits for the commit. */
  onAwaited: () => void
  append (batch: ClosedBatch): void
  /** How full it is; cheap, asked for every request. */
  pressure (): Pressure
  /**
   * Called by the drain before the first take(), and after each reconnect: the position that the ledger shows,
   * null if it has no row for this spool. Frames up to it are released (already committed);
   * frames that were taken and not released are given out again. A fault means: stop, never write.
   */
  resume (position: Position | null): LedgerFault | null
  /** The next frames that are not released, up to bytesMax (at least one); waits until there is one. Null once closed and empty. */
  take (bytesMax: number): Promise<FrameRun | null>
  /** Makes a take() that waits give null now; the journal stays open. For a drain whose connection was lost. */
  interrupt (): void
  /** The run has committed: its frames are freed, their batches told. */
  release (run: FrameRun): void
  backlog (): JournalBacklog
  /** No more appends; take() goes on until empty, then gives null. */
  end (): void
  /** Gives up at once; frames on disk stay there for the next start. */
  close (): Promise<void>
}
