/**
 * What a spool knows by itself of its ledger: the file `in-ledger`. The ledger decides where to go on; the note decides
 * whether the ledger can be believed, after it was set back or ahead while no program ran.
 *
 *   0          4096       8192
 *   ├─record─┄┄┼─record─┄┄┤      written in turn; the one with the larger counter counts
 *
 *   offset bytes of a record, big-endian
 *    0      4   magic "OLED"
 *    4      1   version, 1
 *    5      1   1: frames were given out  2: none was given out beyond `sent`  4: `rows` is known
 *                  8: what the segments do not tell any more of frames that exist, or existed, `committed` and `sent` do
 *                 16: the spool was closed, and has not been opened since
 *    6      2   zero
 *    8      8   counter
 *   16     16   id of the spool
 *   32     16   boot of the machine that wrote it; zero if it has none
 *   48     16   committed: epoch and sequence of a frame that is known to have been committed, and all before it
 *   64     16   sent: epoch and sequence of the last frame that was given out to be stored
 *   80      8   rows of all frames up to `committed`, since the spool is
 *   88      8   rows of the frames between `committed` and `sent`; 0: none, or not known
 *   96      4   CRC32 of bytes 0 to 95
 *
 * Promises
 * - `committed` never stands after the ledger of the right database: written when COMMIT was answered.
 * - `sent` never stands before it: written before a frame is given out. That holds as long as the page cache does: a
 *   sync is waited for before frames of an earlier opening alone. So it is believed on the boot that wrote it only, and
 *   if both records are whole (a write that was cut off may have been the newest). A spool that was closed has synced it:
 *   then on every boot, since the next opening says that it is open, durably, before it gives out a frame.
 * - A file that cannot be written costs neither points nor time: a new one is made, or it is emptied, which says no more
 *   than that frames were given out. So said an older form of it, which was always empty.
 */
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { FrameRun, Position } from '../../journal/journal.js'
import { errorCode, type Files, type OpenFile } from '../files.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { readUint64, writeUint64 } from '../format/record.js'

const FILE_NAME = 'in-ledger'
const RECORD_BYTES = 100
const CHECKED_BYTES = 96
/** Apart by the largest sector, so that no torn write meets both. */
const RECORD_DISTANCE_BYTES = 4096
const FILE_BYTES = 2 * RECORD_DISTANCE_BYTES
const MAGIC_NUMBER = Buffer.from('OLED', 'latin1').readUInt32BE(0)
const VERSION = 1
const ID_BYTES = 16
const FLAG_GIVEN = 1
const FLAG_SENT_EXACT = 2
const FLAG_ROWS_KNOWN = 4
const FLAG_COMPLETE = 8
const FLAG_CLOSED = 16

export interface LedgerNote {
  /** Frames were given out: the right database has a row for this spool. */
  readonly given: boolean
  readonly committed: Position
  readonly sent: Position
  /** Nothing was given out beyond `sent`. False: more may have been, and nobody wrote it down for sure. */
  readonly sentExact: boolean
  /** Frames that segments do not tell any more do not stand beyond `committed` and `sent`. */
  readonly complete: boolean
  /** Of all frames up to `committed`; null: not counted from the beginning. */
  readonly rows: number | null
  /** Of the frames between `committed` and `sent`; 0: there are none, or nobody knows. */
  readonly sentRows: number
}

/** Of a spool that has never given out a frame. */
export const NOTE_START: LedgerNote = Object.freeze({ given: false, committed: POSITION_START, sent: POSITION_START, sentExact: true, complete: true, rows: 0, sentRows: 0 })

/** Of a spool that knows nothing of its ledger. */
export const NOTE_UNKNOWN: LedgerNote = Object.freeze({ ...NOTE_START, sentExact: false, complete: false, rows: null })

/** What a record says of a spool. */
interface WrittenNote {
  readonly note: LedgerNote
  readonly bootId: string
  readonly closed: boolean
}

/** A note as it stands on disk. */
export interface FoundNote {
  /** Null: there is none. */
  readonly note: LedgerNote | null
  /** Of its newest record; null: there is no record that could be followed by another. */
  readonly counter: number | null
}

/** Reads the note of a spool; what cannot be read is not known. */
export async function readLedgerNote (files: Files, directory: string, spoolId: string): Promise<FoundNote> {
  const source = Buffer.alloc(FILE_BYTES)
  try {
    const file = await files.open(join(directory, FILE_NAME), 'read')
    try {
      await file.read(source, 0)
    } finally {
      await file.close()
    }
  } catch (error) {
    return { note: errorCode(error) === 'ENOENT' ? null : { ...NOTE_UNKNOWN, given: true }, counter: null }
  }
  const records = [0, RECORD_DISTANCE_BYTES].flatMap((offset) => decodeRecord(source.subarray(offset, offset + RECORD_BYTES), spoolId) ?? [])
  const newest = records.sort((left, right) => right.counter - left.counter)[0]
  if (newest === undefined) return { note: { ...NOTE_UNKNOWN, given: true }, counter: null }
  const sameBoot = newest.bootId !== '' && newest.bootId === await files.bootId()
  const { sentExact } = newest.note
  return { note: { ...newest.note, sentExact: sentExact && records.length === 2 && (sameBoot || newest.closed) }, counter: newest.counter }
}

/** Makes the file of a spool that is not open anew, whatever is there. When it resolves it is durable. */
export async function writeLedgerNote (files: Files, directory: string, spoolId: string, note: LedgerNote): Promise<void> {
  const { file } = await make(files, directory, spoolId, { note, bootId: await files.bootId(), closed: true })
  await file.close()
}

/** Both records the same, but for the counter. */
async function make (files: Files, directory: string, spoolId: string, written: WrittenNote): Promise<{ file: OpenFile, counter: number }> {
  const path = join(directory, FILE_NAME)
  const bytes = Buffer.alloc(FILE_BYTES)
  const counter = 2
  encodeRecord(written, spoolId, counter).copy(bytes, offsetOf(counter))
  encodeRecord(written, spoolId, counter - 1).copy(bytes, offsetOf(counter - 1))
  const file = await files.replace(`${path}.new`)
  try {
    if (await file.write([bytes], 0) !== bytes.length) throw Object.assign(new Error(`no room for ${path}`), { code: 'ENOSPC' })
    await file.sync()
    await files.rename(`${path}.new`, path)
    await files.syncDirectory(directory)
  } catch (error) {
    await file.close().catch(ignore)
    await files.unlink(`${path}.new`).catch(ignore)
    throw error
  }
  return { file, counter }
}

function offsetOf (counter: number): number {
  return counter % 2 * RECORD_DISTANCE_BYTES
}

function encodeRecord ({ note, bootId, closed }: WrittenNote, spoolId: string, counter: number): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES)
  bytes.writeUInt32BE(MAGIC_NUMBER, 0)
  bytes[4] = VERSION
  bytes[5] = (note.given ? FLAG_GIVEN : 0) | (note.sentExact ? FLAG_SENT_EXACT : 0) | (note.rows === null ? 0 : FLAG_ROWS_KNOWN) | (note.complete ? FLAG_COMPLETE : 0) | (closed ? FLAG_CLOSED : 0)
  writeUint64(bytes, counter, 8)
  bytes.write(spoolId, 16, ID_BYTES, 'hex')
  bytes.write(bootId, 32, ID_BYTES, 'hex')
  writeUint64(bytes, note.committed.epoch, 48)
  writeUint64(bytes, note.committed.sequence, 56)
  writeUint64(bytes, note.sent.epoch, 64)
  writeUint64(bytes, note.sent.sequence, 72)
  writeUint64(bytes, note.rows ?? 0, 80)
  writeUint64(bytes, note.sentRows, 88)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, CHECKED_BYTES)), CHECKED_BYTES)
  return bytes
}

/** Null: damaged, of another spool, or of a version that is not known. */
function decodeRecord (bytes: Buffer, spoolId: string): WrittenNote & { readonly counter: number } | null {
  if (bytes.readUInt32BE(0) !== MAGIC_NUMBER || bytes[4] !== VERSION || crc32(bytes.subarray(0, CHECKED_BYTES)) !== bytes.readUInt32BE(CHECKED_BYTES)) return null
  if (bytes.toString('hex', 16, 16 + ID_BYTES) !== spoolId) return null
  const flags = bytes[5] ?? 0
  const bootId = bytes.toString('hex', 32, 32 + ID_BYTES)
  return {
    note: {
      given: (flags & FLAG_GIVEN) !== 0,
      committed: { epoch: readUint64(bytes, 48), sequence: readUint64(bytes, 56) },
      sent: { epoch: readUint64(bytes, 64), sequence: readUint64(bytes, 72) },
      sentExact: (flags & FLAG_SENT_EXACT) !== 0,
      complete: (flags & FLAG_COMPLETE) !== 0,
      rows: (flags & FLAG_ROWS_KNOWN) === 0 ? null : readUint64(bytes, 80),
      sentRows: readUint64(bytes, 88)
    },
    counter: readUint64(bytes, 8),
    closed: (flags & FLAG_CLOSED) !== 0,
    bootId: /^0+$/.test(bootId) ? '' : bootId
  }
}

/** The note of an open spool. None of its methods rejects: what cannot be written is made good as the head of the file says. */
export class LedgerNoteFile {
  note: LedgerNote
  private file: OpenFile | null = null
  private counter: number
  private isOpen = false
  private closed = false
  /** What stands on disk would be believed rightly after a power cut. */
  private settled = true
  private bootId = ''
  private pendingWrite: Promise<void> | null = null
  private syncing: Promise<void> | null = null
  /** Operations one after the other. */
  private last: Promise<void> = Promise.resolve()

  constructor (private readonly files: Files, private readonly directory: string, private readonly spoolId: string, found: FoundNote) {
    this.note = found.note ?? NOTE_UNKNOWN
    this.counter = found.counter ?? 0
  }

  /** Takes the file over for this boot. Afterwards it takes records without room on the disk. */
  async open (): Promise<void> {
    this.bootId = await this.files.bootId()
    if (this.counter > 0) this.file = await this.files.open(join(this.directory, FILE_NAME), 'change').catch(() => null)
    this.isOpen = true
    if (this.file === null) await this.enqueue(async () => { await this.renew() })
    else await this.secure()
  }

  /**
   * The run is about to be given out. Resolves when that is written; the first time ever, when it is durable.
   * @param durably also otherwise: a power cut may take these frames, and only the note tells then that there were such
   */
  async send ({ epoch, firstSequence, lastSequence, rows }: FrameRun, durably = false): Promise<void> {
    const { given, committed, sent, sentRows } = this.note
    const end = { epoch, sequence: lastSequence }
    if (comparePositions(end, sent) <= 0) return
    // A run that was given out before is given out again from its beginning, and may be longer now.
    const behind = comparePositions(sent, committed) > 0 && comparePositions({ epoch, sequence: firstSequence }, sent) > 0
    this.note = { ...this.note, given: true, sent: end, sentRows: !behind ? rows : sentRows === 0 ? 0 : sentRows + rows }
    await (given && !durably ? this.write() : this.secure())
  }

  /** The run, the oldest that was given out, has committed. */
  commit ({ epoch, lastSequence, rows }: FrameRun): void {
    const { rows: before, sentRows } = this.note
    this.note = {
      ...this.note,
      committed: { epoch, sequence: lastSequence },
      rows: before === null ? null : before + rows,
      sentRows: Math.max(0, sentRows - rows)
    }
    void this.write()
  }

  /** The ledger was read, and fits: what the last run became of is known. */
  async believe (position: Position): Promise<void> {
    const { committed, sent, rows, sentRows } = this.note
    const moved = comparePositions(position, committed) > 0
    const counted = rows !== null && sentRows > 0 && comparePositions(position, sent) === 0
    this.note = {
      ...this.note,
      ...(moved ? { committed: position, rows: counted ? rows + sentRows : null, sentRows: 0 } : {}),
      sent: comparePositions(position, sent) > 0 ? position : sent,
      sentExact: true,
      complete: true
    }
    await this.write()
  }

  /** Makes what is noted durable, for those who do not wait for it. Makes a file if there is none. */
  secureSoon (): void {
    if (!this.isOpen) return
    if (this.file === null) void this.enqueue(async () => { if (this.file === null) await this.renew() })
    else void this.sync()
  }

  /** Writes the note and makes it durable. True: that, or it is durable that nothing is known. */
  async secure (): Promise<boolean> {
    await this.write()
    if (this.file === null && this.isOpen) await this.enqueue(async () => { await this.renew() })
    // One that is under way may have begun before the write.
    await this.syncing
    await this.sync()
    return this.settled
  }

  async close (): Promise<void> {
    this.closed = true
    await this.secure()
    this.isOpen = false
    const { file } = this
    this.file = null
    await file?.close().catch(ignore)
  }

  /** A write that waits takes all that is noted until it begins. */
  private async write (): Promise<void> {
    this.pendingWrite ??= this.enqueue(async () => {
      this.pendingWrite = null
      if (this.file === null) return
      this.counter++
      const bytes = encodeRecord(this.written(), this.spoolId, this.counter)
      const written = await this.file.write([bytes], offsetOf(this.counter)).catch(() => 0)
      if (written !== bytes.length) await this.renew()
    })
    await this.pendingWrite
  }

  private written (): WrittenNote {
    return { note: this.note, bootId: this.bootId, closed: this.closed }
  }

  /** Beside writes: they do not wait for a disk. */
  private async sync (): Promise<void> {
    const { file } = this
    if (file === null) return
    this.syncing ??= file.sync().then(() => { this.settled = true }, async () => {
      // A file whose sync has failed is not written again.
      await this.enqueue(async () => { if (this.file === file) await this.renew() })
    }).finally(() => { this.syncing = null })
    await this.syncing
  }

  /** A new file; if there can be none, an empty one; if not even that, none. */
  private async renew (): Promise<void> {
    await this.file?.close().catch(ignore)
    this.file = null
    try {
      const { file, counter } = await make(this.files, this.directory, this.spoolId, this.written())
      this.file = file
      this.counter = counter
      this.settled = true
    } catch {
      this.settled = await this.leaveEmpty() || await this.remove()
    }
  }

  private async leaveEmpty (): Promise<boolean> {
    // It would say that frames were given out.
    if (!this.note.given) return false
    try {
      const file = await this.files.replace(join(this.directory, FILE_NAME))
      await file.sync().finally(() => { file.close().catch(ignore) })
      await this.files.syncDirectory(this.directory)
      return true
    } catch {
      return false
    }
  }

  private async remove (): Promise<boolean> {
    try {
      await this.files.unlink(join(this.directory, FILE_NAME)).catch((error: unknown) => { if (errorCode(error) !== 'ENOENT') throw error })
      await this.files.syncDirectory(this.directory)
      return true
    } catch {
      return false
    }
  }

  private enqueue (work: () => Promise<void>): Promise<void> {
    this.last = this.last.then(work)
    return this.last
  }
}

/** For clean-up after a failure that is reported already, or made good. */
function ignore (): void {}
