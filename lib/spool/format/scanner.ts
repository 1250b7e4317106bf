/**
 * Reads the frames of one segment in order, finds the next valid one behind damaged bytes, and reports the damaged
 * bytes. Holds one window of the file, at most SCAN_WINDOW_BYTES or one frame. Recovery, reading back and the
 * inspection for operators all use it, so that they agree on what is valid.
 */
import { FRAME_HEADER_BYTES, FRAME_MAGIC, decodeFrameHeader, frameIsIntact, type FrameHeader } from './record.js'
import { systemCode } from '../../support/errors.js'
import type { OpenFile } from '../file-system.js'

export const SCAN_WINDOW_BYTES = 1024 * 1024
/** Read size after a read error: an unreadable sector costs this much, not the whole window. */
const SALVAGE_BYTES = 4096

export interface ScannedFrame {
  readonly offset: number
  readonly header: FrameHeader
  /** A view of the window, which is never written again. */
  readonly payload: Buffer
}

export interface ScanStart {
  readonly epoch: number
  /** Offsets of the first frame and of the end of the bytes. */
  readonly offset: number
  readonly end: number
  /** Sequence of the frame before `offset`. */
  readonly lastSequence: number
  /** CRC of the frame before. Null: unknown, the first frame's is not checked. */
  readonly previousCrc: number | null
}

export interface ScanVisitor {
  /** Return false to stop after this frame. */
  frame (frame: ScannedFrame): boolean
  /** Bytes without a valid frame. Called before the frame that follows them; `atEnd`: none follows. */
  damage (offset: number, bytes: number, atEnd: boolean): void
}

export class SegmentScanner {
  /** Offset of the next frame. */
  offset: number
  private readonly epoch: number
  private readonly end: number
  private lastSequence: number
  private previousCrc: number | null
  /** False behind damage, where neither the CRC chain nor the next sequence is known. */
  private contiguous = true
  private window: Buffer = Buffer.alloc(0)
  private windowOffset = 0

  /** @param isDamage whether bytes that cannot be read with EIO are damaged; otherwise scan() rejects */
  constructor (private readonly file: OpenFile, start: ScanStart, private readonly isDamage = true) {
    this.epoch = start.epoch
    this.offset = start.offset
    this.end = start.end
    this.lastSequence = start.lastSequence
    this.previousCrc = start.previousCrc
  }

  /** Scans until the visitor stops it or the end is reached. Rejects if a read fails, unless that is damage. */
  async scan (visitor: ScanVisitor): Promise<void> {
    let damageOffset = -1
    while (this.offset < this.end) {
      const frame = await this.frameHere()
      if (frame === null) {
        if (damageOffset < 0) damageOffset = this.offset
        this.contiguous = false
        await this.seekMagic()
        continue
      }
      if (damageOffset >= 0) visitor.damage(damageOffset, frame.offset - damageOffset, false)
      damageOffset = -1
      this.pass(frame)
      if (!visitor.frame(frame)) return
    }
    if (damageOffset >= 0) visitor.damage(damageOffset, this.end - damageOffset, true)
  }

  private pass (frame: ScannedFrame): void {
    this.contiguous = true
    this.lastSequence = frame.header.sequence
    this.previousCrc = frame.header.crc
    this.offset += FRAME_HEADER_BYTES + frame.header.payloadBytes
  }

  private async frameHere (): Promise<ScannedFrame | null> {
    if (this.offset + FRAME_HEADER_BYTES > this.end) return null
    if (!this.covers(FRAME_HEADER_BYTES)) await this.load(FRAME_HEADER_BYTES)
    const header = decodeFrameHeader(this.window, this.offset - this.windowOffset)
    if (header === null || !this.fits(header)) return null
    const bytes = FRAME_HEADER_BYTES + header.payloadBytes
    if (this.offset + bytes > this.end) return null
    if (!this.covers(bytes)) await this.load(bytes)
    const start = this.offset - this.windowOffset
    if (!frameIsIntact(this.window, start, header)) return null
    return { offset: this.offset, header, payload: this.window.subarray(start + FRAME_HEADER_BYTES, start + bytes) }
  }

  /** Whether a frame with this header can be here. */
  private fits (header: FrameHeader): boolean {
    if (header.epoch !== this.epoch) return false
    if (!this.contiguous) return header.sequence > this.lastSequence
    if (this.previousCrc !== null && header.previousCrc !== this.previousCrc) return false
    return header.sequence === this.lastSequence + 1
  }

  /** Advances to the next magic, or to the end. */
  private async seekMagic (): Promise<void> {
    this.offset++
    while (this.offset + FRAME_HEADER_BYTES <= this.end) {
      if (!this.covers(FRAME_MAGIC.length)) await this.load(FRAME_MAGIC.length)
      const found = this.window.indexOf(FRAME_MAGIC, this.offset - this.windowOffset)
      if (found >= 0) {
        this.offset = this.windowOffset + found
        return
      }
      // A magic may cross the window's end: its first bytes are read again.
      this.offset = this.windowOffset + this.window.length - (FRAME_MAGIC.length - 1)
    }
    this.offset = this.end
  }

  private covers (bytes: number): boolean {
    return this.offset + bytes <= this.windowOffset + this.window.length
  }

  /** Loads a new window. The old one is not touched: payloads may still point into it. */
  private async load (bytes: number): Promise<void> {
    const window = Buffer.allocUnsafe(Math.min(Math.max(bytes, SCAN_WINDOW_BYTES), this.end - this.offset))
    let filled = 0
    try {
      filled = await this.file.read(window, this.offset)
    } catch (error) {
      this.throwUnlessDamage(error)
      filled = await this.salvage(window)
    }
    // If the file has become shorter, the rest reads as zeros, which are never a frame.
    window.fill(0, filled)
    this.window = window
    this.windowOffset = this.offset
  }

  /** Reads what can be read; unreadable sectors become zeros, and so damage. */
  private async salvage (window: Buffer): Promise<number> {
    for (let at = 0; at < window.length; at += SALVAGE_BYTES) {
      const part = window.subarray(at, at + SALVAGE_BYTES)
      let filled = 0
      try {
        filled = await this.file.read(part, this.offset + at)
      } catch (error) {
        this.throwUnlessDamage(error)
      }
      part.fill(0, filled)
    }
    return window.length
  }

  /** Any error but EIO, such as ESTALE of a network disk, says nothing about the bytes: they may be there later. */
  private throwUnlessDamage (error: unknown): void {
    if (!this.isDamage || systemCode(error) !== 'EIO') throw error
  }
}
