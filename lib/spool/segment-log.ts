/**
 * The segments of one spool, oldest first, and the active one at their end: begins, abandons and removes segments.
 * Knows the position of the last frame that counts; the writer moves it on after each sync.
 */
import { join } from 'node:path'
import type { Position } from '../journal/journal.js'
import type { Files, OpenFile } from './files.js'
import { LedgerNoteFile, type FoundNote, type LedgerNote } from './recover/ledger-note.js'
import { comparePositions } from './format/position.js'
import { SEGMENT_HEADER_BYTES, encodeSegmentHeader, segmentName, type Segment } from './format/segment.js'

/** The segment that frames are written to. `segment.bytes` ends at the last frame that is durable. */
export interface ActiveSegment {
  readonly segment: Segment
  readonly file: OpenFile
  /** CRC of the last durable frame, or of the header. */
  previousCrc: number
}

export interface SegmentLogStart {
  readonly files: Files
  readonly directory: string
  readonly spoolId: string
  /** Of the segments that this log begins. */
  readonly epoch: number
  /** The last frame that counts, in the segments that are there. */
  readonly last: Position
  readonly segments: readonly Segment[]
  /** Called after a segment was removed: there is more room. */
  readonly onRemoved: () => void
  /** What the spool knows of its ledger. */
  readonly foundNote: FoundNote
  /** Epochs of which damage has hidden how far they went. */
  readonly endless: ReadonlySet<number>
}

export class SegmentLog {
  readonly spoolId: string
  readonly epoch: number
  last: Position
  active: ActiveSegment | null = null
  /** The frame up to which all are released: what the ledger covers, as far as it is known here. */
  released: Position
  readonly noteFile: LedgerNoteFile
  readonly endless: ReadonlySet<number>
  private readonly files: Files
  private readonly directory: string
  private readonly segments: Segment[]
  private readonly onRemoved: () => void
  /** Counts attempts, so that no name is used twice even if the file of a failed attempt stays. */
  private begun = 0
  private removing: Promise<void> = Promise.resolve()

  constructor (start: SegmentLogStart) {
    this.files = start.files
    this.directory = start.directory
    this.spoolId = start.spoolId
    this.epoch = start.epoch
    this.last = start.last
    this.segments = [...start.segments]
    this.onRemoved = start.onRemoved
    this.endless = start.endless
    this.noteFile = new LedgerNoteFile(start.files, start.directory, start.spoolId, start.foundNote)
    // Everything before the oldest segment was released, or lost and reported.
    this.released = this.segments[0]?.base ?? this.last
  }

  /** Sequence of the next frame of this epoch. */
  get nextSequence (): number {
    return this.last.epoch === this.epoch ? this.last.sequence + 1 : 1
  }

  /** No frame on disk is needed any more. Not so while frames that damage has cost stand after the ledger: their segment keeps the base. */
  get allReleased (): boolean {
    return comparePositions(this.released, this.last) >= 0
  }

  get note (): LedgerNote {
    return this.noteFile.note
  }

  /** Where frames are known to end: see SpoolStand. */
  get ends (): readonly Position[] {
    return [...this.segments.map(({ base }) => base), this.last]
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
   * Makes a new segment and the active one of it. When it resolves, the file, its header and its name are durable.
   * Rejects with the system's error. If the file was made by then, the segment before is abandoned: the file may come
   * back with a crash, and its base would say that no frame written after it to the segment before counts.
   */
  async begin (): Promise<void> {
    const segment = this.newSegment()
    const header = encodeSegmentHeader({ spoolId: this.spoolId, ...segment })
    const file = await this.files.create(segment.path)
    try {
      const written = await file.write([header.bytes], 0)
      if (written !== SEGMENT_HEADER_BYTES) throw Object.assign(new Error('the disk took a part of a segment header'), { code: 'ENOSPC' })
      await file.sync()
      await this.files.syncDirectory(this.directory)
    } catch (error) {
      await file.close().catch(ignore)
      await this.files.unlink(segment.path).catch(ignore)
      await this.abandon()
      throw error
    }
    await this.abandon()
    this.segments.push(segment)
    this.active = { segment, file, previousCrc: header.crc }
    this.noteFile.secureSoon()
    this.removeReleased()
  }

  /** Leaves the active segment as it is: never synced, cut or written again. */
  async abandon (): Promise<void> {
    const active = this.active
    this.active = null
    await active?.file.close().catch(ignore)
  }

  /** The ledger covers frames up to `position`: segments that it covers are removed. */
  release (position: Position): void {
    if (comparePositions(position, this.released) > 0) this.released = position
    this.removeReleased()
  }

  /**
   * Gives back all the space there is, for a disk so full that not even a header fits. Only when all frames are released.
   * The newest segment stays, cut down to its header: it keeps the epochs growing even if the clock was set back.
   */
  async empty (): Promise<void> {
    await this.abandon()
    // With the frames goes what tells how far they went: a ledger that stands there would seem to be ahead.
    if (!await this.noteFile.secure()) throw Object.assign(new Error('the note of the ledger cannot be written'), { code: 'ENOSPC' })
    while (this.segments.length > 1) this.removeOldest()
    await this.removing
    const segment = this.segments[0]
    if (segment === undefined) return
    const file = await this.files.open(segment.path, 'change')
    try {
      await file.truncate(SEGMENT_HEADER_BYTES)
      segment.bytes = SEGMENT_HEADER_BYTES
    } finally {
      await file.close()
    }
  }

  /** Closes the active file and the note, when the removals under way are done. */
  async close (): Promise<void> {
    await this.abandon()
    await this.removing
    await this.noteFile.close()
  }

  /**
   * One after the other, oldest first, so that a crash leaves no hole.
   * The directory is not synced: a segment that comes back with a crash holds frames that the ledger covers already.
   */
  private removeReleased (): void {
    while (this.segments.length > 1 && comparePositions(this.released, this.segments[1]?.base ?? this.last) >= 0) this.removeOldest()
  }

  private removeOldest (): void {
    const segment = this.segments.shift()
    // A file that stays is found at the next start, where the ledger covers it.
    if (segment !== undefined) this.removing = this.removing.then(() => this.files.unlink(segment.path)).then(this.onRemoved, ignore)
  }

  private newSegment (): Segment {
    const firstSequence = this.nextSequence
    const name = segmentName({ epoch: this.epoch, firstSequence, copy: this.begun++ })
    return { name, path: join(this.directory, name), epoch: this.epoch, firstSequence, base: this.last, bytes: SEGMENT_HEADER_BYTES }
  }
}

/** For clean-up after a failure that is reported already. */
function ignore (): void {}
