/**
 * Surveys the segments of a spool: what is valid, damaged or missing. Read-only. Recovery acts on a survey; the
 * inspection for operators prints one.
 */
import { join } from 'node:path'
import type { Position } from '../../journal/journal.js'
import type { Files } from '../file-system.js'
import type { Extent } from '../frame.js'
import type { Gap } from './gap.js'
import { POSITION_START, comparePositions, later } from '../format/position.js'
import { readPastDamage } from '../disk-check.js'
import { FRAME_HEADER_BYTES, FRAME_MAGIC } from '../format/record.js'
import { SegmentScanner, type ScannedFrame } from '../format/scanner.js'
import {
  SEGMENT_HEADER_BYTES, SHORT_HEADER_BYTES, compareSegmentNames, decodeSegmentHeader, parseSegmentName, segmentName,
  type FoundHeader, type Segment, type SegmentName
} from '../format/segment.js'

/** A segment's file, before its frames are scanned. */
export interface FoundSegment {
  readonly name: string
  readonly path: string
  readonly bytes: number
  /** Null: damaged or unfinished. */
  readonly header: FoundHeader | null
  /** Offset of the first frame. */
  readonly headerBytes: number
  readonly parsed: SegmentName
  /** A crash came before its header was durable: it never contained a frame. */
  readonly unfinished: boolean
}

/** Bytes of a segment without a valid frame. */
export interface DamagedBytes {
  readonly offset: number
  readonly bytes: number
}

/** Totals of frames that count. */
export interface FrameSum {
  readonly frames: number
  readonly rows: number
  /** Of payloads. */
  readonly bytes: number
}

/** One segment, scanned from end to end. */
export interface SegmentSurvey {
  readonly segment: Segment
  readonly headerDamaged: boolean
  /** Frames that count. */
  readonly extents: readonly Extent[]
  readonly damaged: readonly DamagedBytes[]
  readonly gaps: readonly Gap[]
  /** Row formats of its frames. */
  readonly rowFormats: ReadonlySet<number>
  /** Bytes that a crash left unfinished at the end of the last segment. */
  readonly torn: DamagedBytes | null
  /** The last frame that counts; the base if there is none. */
  readonly last: Position
  /** Frames that count after the position asked for. */
  readonly beyond: FrameSum
}

/** Frames after the position asked for, in all segments. */
export function framesBeyond (surveys: readonly SegmentSurvey[]): FrameSum {
  const sum = { frames: 0, rows: 0, bytes: 0 }
  for (const { beyond } of surveys) {
    sum.frames += beyond.frames
    sum.rows += beyond.rows
    sum.bytes += beyond.bytes
  }
  return sum
}

/** The segments of a directory, oldest first. */
export async function findSegments (files: Files, directory: string): Promise<FoundSegment[]> {
  const found: FoundSegment[] = []
  for (const name of await files.list(directory)) {
    const parsed = parseSegmentName(name)
    if (parsed === null) continue
    const path = join(directory, name)
    found.push({ name, path, parsed, ...await readHeader(files, path) })
  }
  const order = ({ header, parsed }: FoundSegment): SegmentName => {
    const { epoch, firstSequence } = header ?? parsed
    return { epoch, firstSequence, copy: parsed.copy }
  }
  return found.sort((left, right) => compareSegmentNames(order(left), order(right)))
}

type HeaderFindings = Pick<FoundSegment, 'bytes' | 'header' | 'headerBytes' | 'unfinished'>

async function readHeader (files: Files, path: string): Promise<HeaderFindings> {
  const file = await files.open(path, 'read')
  try {
    const bytes = await file.size()
    const source = Buffer.alloc(SEGMENT_HEADER_BYTES)
    // A sector that cannot be read twice is damage like any other: the file's name replaces the header.
    const filled = await file.read(source, 0).catch(async () => await file.read(source, 0)).catch(() => -1)
    const header = decodeSegmentHeader(source.subarray(0, Math.max(0, filled)))
    const isVersion1 = source.subarray(SHORT_HEADER_BYTES).indexOf(FRAME_MAGIC) === 0
    const headerBytes = header?.headerBytes ?? (isVersion1 ? SHORT_HEADER_BYTES : SEGMENT_HEADER_BYTES)
    const isShort = bytes < headerBytes || (header === null && bytes === headerBytes)
    return { bytes, header, headerBytes, unfinished: filled >= 0 && isShort }
  } finally {
    await file.close()
  }
}

/**
 * @param found segments of one spool, in order
 * @param covered frames after this position are totalled
 * @param checked its disk must work for unreadable bytes to count as damaged; null: nothing may be written there
 */
export async function surveySegments (
  files: Files, found: readonly FoundSegment[], covered: Position = POSITION_START, checked: string | null = null
): Promise<SegmentSurvey[]> {
  const surveys: SegmentSurvey[] = []
  let last: Position = POSITION_START
  for (const [index, one] of found.entries()) {
    const next = found[index + 1]
    const limit = next === undefined ? 'end' : limitBefore(next)
    const survey = await surveySegment(files, one, { before: last, limit, covered, checked })
    surveys.push(survey)
    last = later(survey.last, last)
  }
  return surveys
}

/** The last frame that may count before this segment. If its header is damaged, that is known for its epoch only. */
function limitBefore ({ header, parsed }: FoundSegment): Position {
  return header?.base ?? { epoch: parsed.epoch, sequence: parsed.firstSequence - 1 }
}

/** What the survey of a segment depends on besides its file. */
interface SurveyContext {
  /** The last frame that counts in the segments before it. */
  readonly before: Position
  /** Base of the next segment: frames after it do not count. 'end': this is the last segment. */
  readonly limit: Position | 'end'
  readonly covered: Position
  readonly checked: string | null
}

async function surveySegment (files: Files, found: FoundSegment, context: SurveyContext): Promise<SegmentSurvey> {
  const { name, path, header, headerBytes, bytes } = found
  const { epoch, firstSequence } = header ?? found.parsed
  // Never later than the real one: frames up to the base are taken to be committed.
  const guess = firstSequence > 1 ? { epoch, sequence: firstSequence - 1 } : context.before
  const base = header?.base ?? { ...guess, epochId: null }
  const { epochId, entered } = header ?? { epochId: null, entered: false }
  const segment: Segment = { name, path, epoch, epochId, firstSequence, base, entered, headerBytes, bytes }
  const start = {
    epoch, offset: headerBytes, end: bytes, lastSequence: firstSequence - 1, previousCrc: header?.crc ?? null
  }
  const scan = async (isDamage: boolean): Promise<Collector> => {
    const collector = new Collector(segment, context)
    const file = await files.open(path, 'read')
    try {
      await new SegmentScanner(file, start, isDamage).scan(collector)
    } finally {
      await file.close()
    }
    return collector
  }
  const { checked: directory } = context
  const collector = directory === null ? await scan(true) : await readPastDamage({ files, directory }, scan)
  return { headerDamaged: header === null, ...collector.finish() }
}

/** Sorts the findings of one segment's scan into extents, damage and gaps. */
class Collector {
  private readonly extents: Extent[] = []
  private readonly damaged: DamagedBytes[] = []
  private readonly gaps: Gap[] = []
  private readonly rowFormats = new Set<number>()
  private last: Position
  private expected: number
  /** Damage that may or may not be followed by a frame that counts. */
  private pending: DamagedBytes | null = null
  private readonly beyond = { frames: 0, rows: 0, bytes: 0 }
  private readonly limit: Position | 'end'
  private readonly covered: Position

  constructor (private readonly segment: Segment, { limit, covered }: Pick<SurveyContext, 'limit' | 'covered'>) {
    this.limit = limit
    this.covered = covered
    this.last = segment.base
    this.expected = segment.firstSequence
  }

  damage (offset: number, bytes: number): void {
    this.pending = { offset, bytes }
  }

  frame ({ offset, header, payload }: ScannedFrame): boolean {
    const { epoch, sequence } = header
    if (this.limit !== 'end' && comparePositions(header, this.limit) > 0) return false
    const damage = this.pending
    this.pending = null
    if (damage !== null) this.damaged.push(damage)
    if (sequence > this.expected) this.gap(epoch, this.expected, sequence - 1, damage?.bytes ?? 0)
    const end = offset + FRAME_HEADER_BYTES + payload.length
    const extent = this.extents[this.extents.length - 1]
    if (extent !== undefined && damage === null && sequence === this.expected) {
      extent.last = sequence
      extent.end = end
      extent.rows += header.rows
      extent.bytes += payload.length
    } else {
      this.extents.push({
        segment: this.segment,
        epoch,
        first: sequence,
        last: sequence,
        offset,
        end,
        rows: header.rows,
        bytes: payload.length,
        oldestAtMs: header.appendedAtMs,
        waiters: new Map()
      })
    }
    this.rowFormats.add(header.rowFormat)
    if (comparePositions(header, this.covered) > 0) {
      this.beyond.frames++
      this.beyond.rows += header.rows
      this.beyond.bytes += payload.length
    }
    this.expected = sequence + 1
    this.last = { epoch, sequence }
    return true
  }

  finish (): Omit<SegmentSurvey, 'headerDamaged'> {
    const torn = this.limit === 'end' ? this.pending : null
    if (this.limit !== 'end') this.closeBeforeNext(this.limit)
    const { segment, extents, damaged, gaps, rowFormats, last, beyond } = this
    return { segment, extents, damaged, gaps, rowFormats, torn, last, beyond }
  }

  /** Records what is missing between the last frame here and the base of the next segment. */
  private closeBeforeNext (limit: Position): void {
    const { epoch } = this.segment
    // Nothing that counts is missing: the bytes at the end were never acknowledged.
    if (comparePositions(this.last, limit) >= 0 || (limit.epoch === epoch && limit.sequence < this.expected)) return
    const damage = this.pending
    if (damage !== null) this.damaged.push(damage)
    if (limit.epoch === epoch) {
      const name = damage === null ? missingName(epoch, this.expected) : this.segment.name
      this.gap(epoch, this.expected, limit.sequence, damage?.bytes ?? 0, name)
      return
    }
    if (damage !== null) this.gap(epoch, this.expected, null, damage.bytes)
    if (limit.sequence > 0) this.gap(limit.epoch, 1, limit.sequence, 0, missingName(limit.epoch, 1))
  }

  private gap (
    epoch: number, fromSequence: number, toSequence: number | null, bytes: number, segment = this.segment.name
  ): void {
    this.gaps.push({ epoch, fromSequence, toSequence, bytes, segment })
  }
}

function missingName (epoch: number, firstSequence: number): string {
  return segmentName({ epoch, firstSequence, copy: 0 })
}
