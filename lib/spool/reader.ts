/**
 * Reads stretches back from disk, in order, a bounded part at a time, when the drain has come to them. Keeps one file
 * open. Damage that has come since the frames were written is a gap here as it is at recovery: reported, passed over.
 */
import type { Position } from '../journal/journal.js'
import { errorCode, type Files, type OpenFile } from './files.js'
import type { Stretch } from './frame-queue.js'
import { quarantine, type Gap } from './recover/gap.js'
import { comparePositions } from './format/position.js'
import { SCAN_WINDOW_BYTES, SegmentScanner } from './format/scanner.js'
import type { Frame } from './writer.js'

/** A part of a stretch. */
export interface ReadPart {
  readonly frames: readonly Frame[]
  /** Rows and payload bytes of frames that were passed over because they are released. */
  readonly passed: { readonly rows: number, readonly bytes: number }
  /** Where the rest of the stretch begins; first > last: nothing is left. */
  readonly left: { readonly first: number, readonly offset: number }
  readonly gaps: readonly Gap[]
  readonly quarantinedBytes: number
}

export class StretchReader {
  private open: { readonly path: string, readonly file: OpenFile } | null = null

  constructor (private readonly files: Files, private readonly directory: string) {}

  /**
   * Reads from the beginning of `stretch`: at least one frame, then up to bytesMax of payload or one window.
   * @param released frames up to it are passed over
   */
  async read (stretch: Stretch, bytesMax: number, released: Position): Promise<ReadPart> {
    const { segment, epoch, first, last, offset, end } = stretch
    let file: OpenFile
    try {
      file = await this.fileOf(segment.path)
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error
      const gap = { epoch, fromSequence: first, toSequence: last, bytes: 0, segment: segment.name }
      return { frames: [], passed: { rows: 0, bytes: 0 }, left: { first: last + 1, offset: end }, gaps: [gap], quarantinedBytes: 0 }
    }
    const frames: Frame[] = []
    const gaps: Gap[] = []
    const damaged: Array<{ readonly offset: number, readonly bytes: number }> = []
    let expected = first
    const passed = { rows: 0, bytes: 0 }
    let bytes = 0
    const miss = (toSequence: number): void => {
      if (toSequence >= expected) gaps.push({ epoch, fromSequence: expected, toSequence, bytes: damaged[damaged.length - 1]?.bytes ?? 0, segment: segment.name })
      expected = toSequence + 1
    }
    const scanner = new SegmentScanner(file, { epoch, offset, end, lastSequence: first - 1, previousCrc: null })
    await scanner.scan({
      frame: ({ offset, header, payload }) => {
        const { sequence, rows, appendedAtMs } = header
        miss(sequence - 1)
        expected = sequence + 1
        if (comparePositions(header, released) > 0) {
          frames.push({ segment, offset, epoch, sequence, rows, appendedAtMs, payload, batch: stretch.waiters.get(sequence) ?? null })
          bytes += payload.length
        } else {
          passed.rows += rows
          passed.bytes += payload.length
        }
        return bytes < Math.max(bytesMax, SCAN_WINDOW_BYTES) && sequence < last
      },
      damage: (offset, bytes) => damaged.push({ offset, bytes })
    })
    if (scanner.offset >= end) miss(last)
    let quarantinedBytes = 0
    for (const one of damaged) quarantinedBytes += await quarantine(this.files, this.directory, segment.name, file, one.offset, one.bytes)
    return { frames, passed, left: { first: expected, offset: scanner.offset }, gaps, quarantinedBytes }
  }

  async close (): Promise<void> {
    const open = this.open
    this.open = null
    await open?.file.close()
  }

  private async fileOf (path: string): Promise<OpenFile> {
    if (this.open?.path !== path) {
      await this.close()
      this.open = { path, file: await this.files.open(path, 'read') }
    }
    return this.open.file
  }
}
