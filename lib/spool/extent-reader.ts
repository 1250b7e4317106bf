/**
 * Reads extents back from disk, in order, a bounded part at a time, when the drain reaches them. Keeps one file open.
 * Damage since the frames were written is a gap, as it is at recovery: reported and skipped.
 */
import type { Position } from '../journal/journal.js'
import { systemCode } from '../support/errors.js'
import { readPastDamage } from './disk-check.js'
import type { Files, OpenFile } from './file-system.js'
import type { Extent, Frame, ReadPart } from './frame.js'
import { quarantine, type Gap } from './recover/gap.js'
import { comparePositions } from './format/position.js'
import { SCAN_WINDOW_BYTES, SegmentScanner } from './format/scanner.js'

export class ExtentReader {
  private open: { readonly path: string, readonly file: OpenFile } | null = null

  constructor (readonly files: Files, readonly directory: string) {}

  /**
   * Reads the first frames of `extent`: at least one, then up to bytesMax of payload or one window. It may be called
   * again if it rejects.
   * @param released frames up to here are skipped
   */
  async read (extent: Extent, bytesMax: number, released: Position): Promise<ReadPart> {
    return await readPastDamage(this, async (isDamage) => await this.readOnce(extent, bytesMax, released, isDamage))
  }

  async close (): Promise<void> {
    const open = this.open
    this.open = null
    await open?.file.close()
  }

  private async readOnce (
    extent: Extent, bytesMax: number, released: Position, isDamage: boolean
  ): Promise<ReadPart> {
    const { segment, epoch, first, last, offset, end } = extent
    let file: OpenFile
    try {
      file = await this.fileOf(segment.path)
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error
      const gap = { epoch, fromSequence: first, toSequence: last, bytes: 0, segment: segment.name }
      const left = { first: last + 1, offset: end }
      return { frames: [], passed: { rows: 0, bytes: 0 }, left, gaps: [gap], quarantinedBytes: 0 }
    }
    const frames: Frame[] = []
    const gaps: Gap[] = []
    const damaged: Array<{ readonly offset: number, readonly bytes: number }> = []
    let expected = first
    const passed = { rows: 0, bytes: 0 }
    let bytes = 0
    const miss = (toSequence: number): void => {
      const bytes = damaged.at(-1)?.bytes ?? 0
      if (toSequence >= expected) gaps.push({ epoch, fromSequence: expected, toSequence, bytes, segment: segment.name })
      expected = toSequence + 1
    }
    const start = { epoch, offset, end, lastSequence: first - 1, previousCrc: null }
    const scanner = new SegmentScanner(file, start, isDamage)
    const scanned = scanner.scan({
      frame: ({ offset, header, payload }) => {
        const { sequence, rows, appendedAtMs } = header
        miss(sequence - 1)
        expected = sequence + 1
        if (comparePositions(header, released) > 0) {
          const batch = extent.waiters.get(sequence) ?? null
          frames.push({ segment, offset, epoch, sequence, rows, appendedAtMs, payload, batch })
          bytes += payload.length
        } else {
          passed.rows += rows
          passed.bytes += payload.length
        }
        return bytes < Math.max(bytesMax, SCAN_WINDOW_BYTES) && sequence < last
      },
      damage: (offset, bytes) => damaged.push({ offset, bytes })
    })
    await scanned.catch(async (error: unknown) => {
      // What is open may never be readable again, unlike the file.
      await this.close().catch(() => {})
      throw error
    })
    if (scanner.offset >= end) miss(last)
    let quarantinedBytes = 0
    for (const damage of damaged) {
      quarantinedBytes += await quarantine(this.files, this.directory, { segment: segment.name, file, ...damage })
    }
    return { frames, passed, left: { first: expected, offset: scanner.offset }, gaps, quarantinedBytes }
  }

  private async fileOf (path: string): Promise<OpenFile> {
    if (this.open?.path !== path) {
      await this.close()
      this.open = { path, file: await this.files.open(path, 'read') }
    }
    return this.open.file
  }
}
