/**
 * Looks at the segments of a spool without changing anything: what is valid, what is damaged, what is missing.
 * Recovery acts on a survey; the inspection for operators prints one.
 */
import { join } from 'node:path'
import type { Position } from '../../journal/journal.js'
import type { Files } from '../files.js'
import type { Stretch } from '../frame-queue.js'
import type { Gap } from './gap.js'
import { POSITION_START, comparePositions } from '../format/position.js'
import { FRAME_HEADER_BYTES } from '../format/record.js'
import { SegmentScanner, type ScannedFrame } from '../format/scanner.js'
import { SEGMENT_HEADER_BYTES, compareSegmentNames, decodeSegmentHeader, parseSegmentName, segmentName, type Segment, type SegmentHeader, type SegmentName } from '../format/segment.js'

/** A segment's file, before its frames are looked at. */
export interface FoundSegment {
  readonly name: string
  readonly path: string
  readonly bytes: number
  /** Null: damaged, or never finished. */
  readonly header: (SegmentHeader & { readonly crc: number }) | null
  readonly parsed: SegmentName
  /** A crash came before its header was durable: it holds no frame, and never did. */
  readonly unfinished: boolean
}

/** Bytes of a segment in which no valid frame was found. */
export interface DamagedBytes {
  readonly offset: number
  readonly bytes: number
}

/** Frames that count, added up. */
export interface FrameSum {
  readonly frames: number
  readonly rows: number
  /** Of payloads. */
  readonly bytes: number
}

/** One segment, looked at from end to end. */
export interface SegmentSurvey {
  readonly segment: Segment
  readonly headerDamaged: boolean
  /** Frames that count, as stretches without a break. */
  readonly stretches: readonly Stretch[]
  readonly damaged: readonly DamagedBytes[]
  readonly gaps: readonly Gap[]
  /** Row formats of its frames. */
  readonly rowFormats: ReadonlySet<number>
  /** Bytes at the end of the last segment that a crash left unfinished, and where they begin. */
  readonly torn: DamagedBytes | null
  /** The last frame that counts in it; its base if there is none. */
  readonly last: Position
  /** Its frames beyond the position that was asked for. */
  readonly beyond: FrameSum
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
  const order = ({ header, parsed }: FoundSegment): SegmentName => ({ ...parsed, ...(header === null ? {} : { epoch: header.epoch, firstSequence: header.firstSequence }) })
  return found.sort((left, right) => compareSegmentNames(order(left), order(right)))
}

/** Epochs of which damage has hidden how far they went. */
export function endlessEpochs (surveys: readonly SegmentSurvey[]): ReadonlySet<number> {
  return new Set(surveys.flatMap(({ gaps }) => gaps).filter(({ toSequence }) => toSequence === null).map(({ epoch }) => epoch))
}

async function readHeader (files: Files, path: string): Promise<Pick<FoundSegment, 'bytes' | 'header' | 'unfinished'>> {
  const file = await files.open(path, 'read')
  try {
    const bytes = await file.size()
    const source = Buffer.alloc(SEGMENT_HEADER_BYTES)
    // A sector that cannot be read, twice, is damage like any other: the name says what the header said.
    const filled = await file.read(source, 0).catch(async () => await file.read(source, 0)).catch(() => -1)
    const header = decodeSegmentHeader(source.subarray(0, Math.max(0, filled)))
    return { bytes, header, unfinished: header === null && filled >= 0 && bytes <= SEGMENT_HEADER_BYTES }
  } finally {
    await file.close()
  }
}

/**
 * Looks at all of `found`, which belong to one spool and are in order.
 * @param covered frames beyond this position are added up
 */
export async function surveySegments (files: Files, found: readonly FoundSegment[], covered = POSITION_START): Promise<SegmentSurvey[]> {
  const surveys: SegmentSurvey[] = []
  let last = POSITION_START
  for (const [index, one] of found.entries()) {
    const next = found[index + 1]
    const survey = await surveySegment(files, one, last, next === undefined ? 'end' : limitBefore(next), covered)
    surveys.push(survey)
    last = comparePositions(survey.last, last) > 0 ? survey.last : last
  }
  return surveys
}

/** Up to where frames of the segments before count. A damaged header's name tells it for its own epoch alone. */
function limitBefore ({ header, parsed }: FoundSegment): Position {
  return header?.base ?? { epoch: parsed.epoch, sequence: parsed.firstSequence - 1 }
}

/**
 * @param before the last frame that counts in the segments before
 * @param limit base of the segment that follows: frames beyond it count for nothing. 'end': this is the last one.
 */
async function surveySegment (files: Files, found: FoundSegment, before: Position, limit: Position | 'end', covered: Position): Promise<SegmentSurvey> {
  const { epoch, firstSequence } = found.header ?? found.parsed
  // Never later than it was: what stands at the base or before is taken for committed.
  const base = found.header?.base ?? (firstSequence > 1 ? { epoch, sequence: firstSequence - 1 } : before)
  const segment: Segment = { name: found.name, path: found.path, epoch, firstSequence, base, bytes: found.bytes }
  const collector = new Collector(segment, limit, covered)
  const file = await files.open(found.path, 'read')
  try {
    await new SegmentScanner(file, {
      epoch,
      offset: SEGMENT_HEADER_BYTES,
      end: found.bytes,
      lastSequence: firstSequence - 1,
      previousCrc: found.header?.crc ?? null
    }).scan(collector)
  } finally {
    await file.close()
  }
  return { headerDamaged: found.header === null, ...collector.finish() }
}

/** Sorts what a scan of one segment meets into stretches, damage and gaps. */
class Collector {
  private readonly stretches: Stretch[] = []
  private readonly damaged: DamagedBytes[] = []
  private readonly gaps: Gap[] = []
  private readonly rowFormats = new Set<number>()
  private last: Position
  private expected: number
  /** Damage of which it is not known yet whether a frame that counts follows. */
  private pending: DamagedBytes | null = null
  private readonly beyond = { frames: 0, rows: 0, bytes: 0 }

  constructor (private readonly segment: Segment, private readonly limit: Position | 'end', private readonly covered: Position) {
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
    const stretch = this.stretches[this.stretches.length - 1]
    if (stretch !== undefined && damage === null && sequence === this.expected) {
      stretch.last = sequence
      stretch.end = end
      stretch.rows += header.rows
      stretch.bytes += payload.length
    } else {
      this.stretches.push({
        segment: this.segment, epoch, first: sequence, last: sequence, offset, end, rows: header.rows, bytes: payload.length, oldestAtMs: header.appendedAtMs, waiters: new Map()
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
    const { segment, stretches, damaged, gaps, rowFormats, last, beyond } = this
    return { segment, stretches, damaged, gaps, rowFormats, torn, last, beyond }
  }

  /** What is missing between the last frame here and the base of the segment that follows. */
  private closeBeforeNext (limit: Position): void {
    const { epoch } = this.segment
    // Nothing that counts is missing: what stands at the end was never acknowledged.
    if (comparePositions(this.last, limit) >= 0 || (limit.epoch === epoch && limit.sequence < this.expected)) return
    const damage = this.pending
    if (damage !== null) this.damaged.push(damage)
    if (limit.epoch === epoch) {
      this.gap(epoch, this.expected, limit.sequence, damage?.bytes ?? 0, damage === null ? missingName(epoch, this.expected) : this.segment.name)
      return
    }
    if (damage !== null) this.gap(epoch, this.expected, null, damage.bytes)
    if (limit.sequence > 0) this.gap(limit.epoch, 1, limit.sequence, 0, missingName(limit.epoch, 1))
  }

  private gap (epoch: number, fromSequence: number, toSequence: number | null, bytes: number, segment = this.segment.name): void {
    this.gaps.push({ epoch, fromSequence, toSequence, bytes, segment })
  }
}

function missingName (epoch: number, firstSequence: number): string {
  return segmentName({ epoch, firstSequence, copy: 0 })
}
