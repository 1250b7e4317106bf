/**
 * The queue of frames between batch and COPY, in memory (MemoryJournal), on disk (the spool), or in a
 * replicated log (LogJournal).
 *
 *   Batcher --append--> Journal --take--> Drain --release--> Journal
 *
 * A frame is one closed batch, opaque here. Frames of an epoch are numbered from 1 without gaps. The journal hands out
 * frames in order, once they are as durable as it makes them (after fsync), and keeps them until they are released.
 */
import type { ErrorCode } from '../support/errors.js'
import type { Pressure } from './pressure.js'

/** A closed batch, handed over by the batcher. */
export interface ClosedBatch {
  /** Owned by the journal, which replaces it with an empty buffer once the bytes are on disk only. */
  payload: Buffer
  /** Points in it. */
  readonly rows: number
  /** False: nobody waits for committed(), so a journal that no longer has the frame in memory need not call it. */
  readonly awaitsCommit?: boolean
  /** Called once: the frame is durable, or (error) never will be. Without a disk, durable means committed. */
  spooled (error: ErrorCode | null): void
  /** Called once, after spooled(null): its transaction has committed, or (error) the journal was closed first. */
  committed (error: ErrorCode | null): void
}

/** The last committed frame of a spool. Positions are ordered by epoch, then sequence. */
export interface Position {
  readonly epoch: number
  /** 0: no frame of this epoch yet. */
  readonly sequence: number
}

/** A position in the ledger. */
export interface LedgerPosition extends Position {
  /** Random id of the epoch, 32 hexadecimal digits: a copy of the journal has other ids. Null: unknown. */
  readonly epochId: string | null
}

/** Why a journal cannot continue from the ledger's position: this is not the database its frames went to. */
export interface LedgerFault {
  readonly kind: 'ledger_missing' | 'ledger_behind' | 'ledger_ahead'
  /** The finding, as a sentence. */
  readonly found: string
  /** The same, and what to do about it. */
  readonly message: string
}

/** Consecutive frames of one epoch, to be committed in one transaction. */
export interface FrameRun {
  readonly epoch: number
  /** As in LedgerPosition. */
  readonly epochId: string | null
  readonly firstSequence: number
  readonly lastSequence: number
  readonly payloads: readonly Buffer[]
  /** Points. */
  readonly rows: number
  readonly bytes: number
}

/** Frames appended and not yet released, durable or not. */
export interface JournalBacklog {
  readonly frames: number
  readonly rows: number
  readonly bytes: number
  /** Age of the oldest uncommitted frame; 0 if there is none. */
  readonly oldestMs: number
}

/** What a journal tells the parts that work with it. */
export interface JournalListener {
  /** No write is under way any more. */
  onIdle? (): void
  /**
   * A payload will not be read again. Its memory may be reused at once: holding a payload past this point reads reused
   * memory. Includes payloads of frames that were read back from disk.
   */
  onFreed? (payload: Buffer): void
  /** A batch was appended whose sender waits for the commit. */
  onAwaited? (): void
}

/** The listeners of a journal, each told of everything, in the order in which they were added. */
export class JournalListeners implements Required<JournalListener> {
  private readonly listeners: JournalListener[] = []

  add (listener: JournalListener): void {
    this.listeners.push(listener)
  }

  onIdle (): void {
    for (const each of this.listeners) each.onIdle?.()
  }

  onFreed (payload: Buffer): void {
    for (const each of this.listeners) each.onFreed?.(payload)
  }

  onAwaited (): void {
    for (const each of this.listeners) each.onAwaited?.()
  }
}

export interface Journal {
  /** Key of its row in the ledger. */
  readonly spoolId: string
  /** Points of released frames, since this process opened the journal. */
  readonly releasedRows: number
  /** Points of frames lost to disk damage. */
  readonly lostRows: number
  /** Points found when this process opened the journal. */
  readonly recoveredRows: number
  /** Points that a replicated log has acknowledged; no such property: the journal is not one. */
  readonly replicatedRows?: number
  /** No write is under way: a batch appended now is written at once. */
  readonly idle: boolean
  readonly listeners: JournalListeners
  append (batch: ClosedBatch): void
  /** How full the journal is. Cheap: called for every request. */
  pressure (): Pressure
  /** Why nothing is accepted, if not for lack of room; null, or no such method: for lack of room. */
  outage? (): ErrorCode | null
  /**
   * Called by the drain before the first take() and after each reconnect, with the position in the ledger; null if it
   * has no row for this spool. Frames up to it are released, since they are committed; frames taken and not released
   * are handed out again. After a fault the drain must not write. After a null it is called again with the inserted
   * row,
   * before anything is stored.
   */
  resume (position: LedgerPosition | null): LedgerFault | null
  /** The next unreleased frames, up to bytesMax but at least one; waits for one. Null once ended and empty. */
  take (bytesMax: number): Promise<FrameRun | null>
  /** Makes a waiting take() resolve to null; the journal stays open. For a drain that lost its connection. */
  interrupt (): void
  /** The run has committed: frees its frames and tells their batches. */
  release (run: FrameRun): void
  backlog (): JournalBacklog
  /** Accepts no more appends; take() continues until empty, then resolves to null. */
  end (): void
  /** Gives up at once; frames on disk stay for the next start. */
  close (): Promise<void>
}
