/**
 * The segments of one spool, oldest first: begins, abandons and removes them. Tracks the last frame that counts (the
 * writer advances it after each sync) and what is known about the ledger.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { FrameRun, LedgerPosition, Position } from '../journal/journal.js'
import { systemCode } from '../support/errors.js'
import type { Files, OpenFile } from './file-system.js'
import type { KnownEpoch, LedgerEvidence } from './recover/ledger-position.js'
import { comparePositions } from './format/position.js'
import {
  SEGMENT_HEADER_BYTES, encodeSegmentHeader, headerCopies, newId, segmentName, type Segment
} from './format/segment.js'

/** The segment that frames are written to. `segment.bytes` is the end of the last durable frame. */
export interface ActiveSegment {
  readonly segment: Segment
  readonly file: OpenFile
  /** CRC of the last durable frame, or of the header. */
  previousCrc: number
}

export interface SegmentLogStart {
  readonly files: Files
  readonly directory: string
  /** What the existing segments record of the ledger. */
  readonly evidence: LedgerEvidence
  /** The epoch that this log begins. */
  readonly epoch: number
  /** The last frame that counts in the existing segments. */
  readonly last: Position
  readonly segments: readonly Segment[]
  /** Called after a segment was removed and its space freed. */
  readonly onRemoved: () => void
}

export class SegmentLog implements LedgerEvidence {
  readonly spoolId: string
  readonly epoch: number
  readonly epochId = newId()
  last: Position
  active: ActiveSegment | null = null
  /** The newest position that the ledger is known to have reached. */
  released: Position
  /** The ledger has, or had, a row for this spool. The next segment records it. */
  entered: boolean
  readonly epochs: Map<number, KnownEpoch>
  private readonly files: Files
  private readonly directory: string
  private segments: Segment[]
  /** Since the ledger was last found not to fit. */
  private ledgerRead = false
  /** The segments are durable. At first they may not be: a start that failed may have left the newest one. */
  private secured = false
  private readonly onRemoved: () => void
  /** Counts attempts, so that no name is used twice even if the file of a failed attempt remains. */
  private begun = 0
  /** No longer in `segments`, but still to be removed. */
  private readonly condemned: Segment[] = []
  private removing: Promise<void> = Promise.resolve()

  constructor (start: SegmentLogStart) {
    this.files = start.files
    this.directory = start.directory
    const { spoolId, released, entered, epochs } = start.evidence
    this.spoolId = spoolId
    this.epoch = start.epoch
    this.last = start.last
    this.segments = [...start.segments]
    this.onRemoved = start.onRemoved
    this.released = released
    this.entered = entered
    this.epochs = new Map(epochs).set(this.epoch, { id: this.epochId, end: 0 })
  }

  /** Sequence of the next frame of this epoch. */
  get nextSequence (): number {
    return this.last.epoch === this.epoch ? this.last.sequence + 1 : 1
  }

  /** No frame on disk is needed. False if the ledger is before frames lost to damage: their segment keeps the base. */
  get allReleased (): boolean {
    // A ledger that does not fit may lack what it had: only what is before the oldest segment is certain.
    const covered = this.ledgerRead ? this.released : this.segments[0]?.base ?? this.released
    return comparePositions(covered, this.last) >= 0
  }

  /** The active segment does not record yet that the ledger has a row. */
  get entryUnrecorded (): boolean {
    return this.entered && this.active?.segment.entered === false
  }

  get count (): number {
    return this.segments.length
  }

  /** Bytes of all segments on disk. */
  get bytes (): number {
    let bytes = 0
    for (const segment of this.segments) bytes += segment.bytes
    return bytes
  }

  /**
   * Creates a segment and makes it the active one. Once it resolves, the file, its header and its name are durable.
   * Rejects with the system's error. If the file existed by then, the previous segment is abandoned: after a crash the
   * file may be back, and its base would exclude every frame written to the previous segment in the meantime.
   */
  async begin (): Promise<void> {
    const segment = this.newSegment()
    const header = encodeSegmentHeader({ spoolId: this.spoolId, ...segment })
    const file = await this.files.create(segment.path)
    try {
      const written = await file.write([header.bytes], 0)
      if (written !== SEGMENT_HEADER_BYTES) throw noSpace(segment.path)
      await file.sync()
      await this.files.syncDirectory(this.directory)
    } catch (error) {
      await file.close().catch(ignore)
      // Left behind, its base would hide from a later start how far the segments that were removed after it had got.
      await this.files.unlink(segment.path).catch(() => this.condemned.push(segment))
      await this.abandon()
      throw error
    }
    await this.abandon()
    this.segments.push(segment)
    this.active = { segment, file, previousCrc: header.crc }
    this.secured = true
    this.removeReleased()
  }

  /** Closes the active segment; it is never written, cut or synced again. */
  async abandon (): Promise<void> {
    const active = this.active
    this.active = null
    await active?.file.close().catch(ignore)
  }

  /** The run is about to be stored: from now on the ledger may be at its end. */
  give ({ epoch, lastSequence }: FrameRun): void {
    const known = this.epochs.get(epoch)
    if (known !== undefined && lastSequence > known.end) this.epochs.set(epoch, { ...known, end: lastSequence })
  }

  /** The ledger has a row, at `position`: segments that it covers are removed. */
  release (position: Position): void {
    this.ledgerRead = true
    this.entered = true
    if (comparePositions(position, this.released) > 0) this.released = position
    this.removeReleased()
  }

  /**
   * The ledger does not fit: the frames on disk may be needed again, so nothing is removed until it fits. `released`
   * stays, for the queue no longer has the frames up to there.
   */
  distrust (): void {
    this.ledgerRead = false
  }

  /**
   * Frees all space on a disk so full that not even a header fits; all frames must be released. Removes what release()
   * removes, and cuts the newest segment down to its header.
   */
  async empty (): Promise<void> {
    assert.ok(this.allReleased, 'a spool with frames is not emptied')
    await this.abandon()
    this.removeReleased()
    await this.removing
    const segment = this.segments.at(-1)
    if (segment === undefined) return
    const file = await this.files.open(segment.path, 'change')
    try {
      await this.moveBase(segment, file)
      await file.truncate(segment.headerBytes)
      segment.bytes = segment.headerBytes
    } finally {
      await file.close()
    }
  }

  /** Closes the active file once the removals under way are done. */
  async close (): Promise<void> {
    await this.abandon()
    await this.removing
  }

  /**
   * Removes every segment that the ledger covers, except the newest, and the newest of those that name the ledger's
   * epoch: the next start must know it. Nothing is removed unless the ledger was read, and fits. Oldest first, and none
   * after one that could not be removed, so that a crash leaves no hole. The directory is not synced: a segment that is
   * back after a crash is covered by the ledger.
   */
  private removeReleased (): void {
    const { segments, released } = this
    if (!this.ledgerRead) return
    const witness = segments.findLast(({ epoch, base }) => epoch === released.epoch || base.epoch === released.epoch)
    const kept = segments.filter((segment, index) => {
      const next = segments[index + 1]
      return next === undefined || segment === witness || comparePositions(released, next.base) < 0
    })
    const covered = segments.filter((segment) => !kept.includes(segment))
    this.segments = kept
    this.condemned.push(...covered)
    if (this.condemned.length > 0) this.removing = this.removing.then(() => this.removeCondemned())
  }

  /** If a removal fails, the next call or the next start tries it again. */
  private async removeCondemned (): Promise<void> {
    try {
      await this.secure()
      for (let segment = this.condemned[0]; segment !== undefined; segment = this.condemned[0]) {
        await this.files.unlink(segment.path).catch(unlessMissing)
        this.condemned.shift()
        this.onRemoved()
      }
    } catch {
      // The ledger covers it.
    }
  }

  /**
   * Makes the headers of the remaining segments durable, so that the others can be removed. Writes them again: after a
   * failed sync another one would do nothing.
   */
  private async secure (): Promise<void> {
    if (this.secured) return
    for (const { path, headerBytes } of this.segments) {
      const file = await this.files.open(path, 'change')
      try {
        const header = Buffer.alloc(headerBytes)
        const filled = await file.read(header, 0)
        if (await file.write([header.subarray(0, filled)], 0) !== filled) throw noSpace(path)
        await file.sync()
      } finally {
        await file.close()
      }
    }
    await this.files.syncDirectory(this.directory)
    this.secured = true
  }

  private newSegment (): Segment {
    const { epoch, epochId, entered, nextSequence: firstSequence } = this
    const name = segmentName({ epoch, firstSequence, copy: this.begun++ })
    const base: LedgerPosition = { ...this.last, epochId: this.epochs.get(this.last.epoch)?.id ?? null }
    const path = join(this.directory, name)
    const [headerBytes, bytes] = [SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES]
    return { name, path, epoch, epochId, firstSequence, base, entered, headerBytes, bytes }
  }

  /** Before the frames of the newest segment are cut off, records the last of them as its base, in place. */
  private async moveBase (segment: Segment, file: OpenFile): Promise<void> {
    const { last } = this
    if (last.epoch !== segment.epoch) return
    const base = { ...last, epochId: segment.epochId }
    const moved = { ...segment, firstSequence: last.sequence + 1, base, headerBytes: SEGMENT_HEADER_BYTES }
    for (const copy of headerCopies(encodeSegmentHeader({ spoolId: this.spoolId, ...moved }).bytes)) {
      for (const { offset, bytes } of copy) {
        if (await file.write([bytes], offset) !== bytes.length) throw noSpace(segment.path)
      }
      await file.sync()
    }
    Object.assign(segment, moved)
  }
}

function noSpace (path: string): Error {
  return Object.assign(new Error(`no space for the header of ${path}`), { code: 'ENOSPC' })
}

function unlessMissing (error: unknown): void {
  if (systemCode(error) !== 'ENOENT') throw error
}

/** For cleanup after a failure that is already reported. */
function ignore (): void {}
