/** What a spool holds, for operators: reads, changes nothing. A running spool may be looked at; it moves on meanwhile. */
import type { Position } from '../pipeline/journal.js'
import type { Files } from './files.js'
import type { Gap } from './gap.js'
import { readSpoolId } from './recovery.js'
import { findSegments, surveySegments, type DamagedBytes } from './survey.js'

export interface SegmentInspection {
  readonly name: string
  readonly epoch: number
  /** Of the frames that count; null if there are none. */
  readonly firstSequence: number | null
  readonly lastSequence: number | null
  /** The last frame before this segment. */
  readonly base: Position
  readonly frames: number
  readonly rows: number
  /** Of the file. */
  readonly fileBytes: number
  readonly headerDamaged: boolean
  readonly damaged: readonly DamagedBytes[]
  /** Unfinished bytes at the end: of a crash, or of a write that is under way. */
  readonly tornBytes: number
}

export interface SpoolInspection {
  readonly directory: string
  /** Null: damaged or not there; the next start takes it from a segment. */
  readonly spoolId: string | null
  readonly segments: readonly SegmentInspection[]
  readonly gaps: readonly Gap[]
  readonly frames: number
  readonly rows: number
  /** The newest frame; null if there is none. */
  readonly last: Position | null
}

/** @param directory of one slot */
export async function inspectSpool (files: Files, directory: string): Promise<SpoolInspection> {
  const found = await findSegments(files, directory)
  const surveys = await surveySegments(files, found.filter((one) => !one.unfinished))
  const segments = surveys.map(({ segment, stretches, headerDamaged, damaged, torn }): SegmentInspection => ({
    name: segment.name,
    epoch: segment.epoch,
    firstSequence: stretches[0]?.first ?? null,
    lastSequence: stretches[stretches.length - 1]?.last ?? null,
    base: segment.base,
    frames: stretches.reduce((sum, stretch) => sum + stretch.last - stretch.first + 1, 0),
    rows: stretches.reduce((sum, stretch) => sum + stretch.rows, 0),
    fileBytes: segment.bytes,
    headerDamaged,
    damaged,
    tornBytes: torn?.bytes ?? 0
  }))
  const spoolId = await readSpoolId(files, directory) ?? found.find((one) => one.header !== null)?.header?.spoolId ?? null
  return {
    directory,
    spoolId,
    segments,
    gaps: surveys.flatMap((survey) => survey.gaps),
    frames: segments.reduce((sum, segment) => sum + segment.frames, 0),
    rows: segments.reduce((sum, segment) => sum + segment.rows, 0),
    last: surveys[surveys.length - 1]?.last ?? null
  }
}
