/**
 * The contents of a spool, for operators. Read-only. A running spool may be inspected; since it changes meanwhile, the
 * ledger is read first, and a fault is reported only if the ledger has not moved afterwards.
 */
import { isDeepStrictEqual } from 'node:util'
import type { LedgerFault, LedgerPosition, Position } from '../../journal/journal.js'
import { systemCode } from '../../support/errors.js'
import type { Files } from '../file-system.js'
import type { Gap } from '../recover/gap.js'
import { judgePosition, evidenceOf } from '../recover/ledger-position.js'
import { POSITION_START } from '../format/position.js'
import { readSpoolId } from '../recover/recovery.js'
import {
  findSegments, framesBeyond, surveySegments, type DamagedBytes, type FrameSum, type SegmentSurvey
} from '../recover/survey.js'

export interface SegmentInspection {
  readonly name: string
  readonly epoch: number
  /** Of the frames that count; null: none. */
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
  /** Unfinished bytes at the end: left by a crash, or being written. */
  readonly tornBytes: number
  /** Frames that the ledger does not cover. */
  readonly waiting: FrameSum
}

export interface SpoolInspection {
  readonly directory: string
  /** Null: unknown. */
  readonly spoolId: string | null
  readonly segments: readonly SegmentInspection[]
  readonly gaps: readonly Gap[]
  readonly frames: number
  readonly rows: number
  /** The newest frame; null: none. */
  readonly last: Position | null
  /** Frames that the ledger does not cover; all of them if its position is unknown. */
  readonly waiting: FrameSum
  /** Why the next start would not store these frames in that database; null also if the ledger is unknown. */
  readonly fault: LedgerFault | null
}

/** A running spool may remove segments during an inspection, which then starts over. */
const LOOKS_MAX = 5

/** The id of the spool in a slot's directory; null: lost, or no spool. */
export async function identifySpool (files: Files, directory: string): Promise<string | null> {
  return await again(async () => {
    const kept = await readSpoolId(files, directory)
    if (kept !== null) return kept
    const found = await findSegments(files, directory)
    return found.find((one) => one.header !== null)?.header?.spoolId ?? null
  })
}

/** Position of the ledger. Null: it has no row for this spool. Undefined: unknown. */
type Ledger = LedgerPosition | null | undefined

/**
 * @param directory of one slot
 * @param readLedger asks the database for the row of a spool
 */
export async function inspectSpool (
  files: Files,
  directory: string,
  readLedger: (spoolId: string) => Promise<Ledger> = () => Promise.resolve(undefined)
): Promise<SpoolInspection> {
  const spoolId = await identifySpool(files, directory)
  const readOwn = async (): Promise<Ledger> => spoolId === null ? undefined : await readLedger(spoolId)
  const { surveys, fault } = await look(files, directory, spoolId, readOwn)
  const segments = surveys.map(describeSegment)
  const last = surveys.at(-1)?.last ?? null
  return {
    directory,
    spoolId,
    segments,
    gaps: surveys.flatMap((survey) => survey.gaps),
    frames: segments.reduce((sum, segment) => sum + segment.frames, 0),
    rows: segments.reduce((sum, segment) => sum + segment.rows, 0),
    last,
    waiting: framesBeyond(surveys),
    fault
  }
}

interface Look {
  readonly surveys: readonly SegmentSurvey[]
  readonly fault: LedgerFault | null
}

async function look (
  files: Files, directory: string, spoolId: string | null, readLedger: () => Promise<Ledger>
): Promise<Look> {
  for (let looks = 1; ; looks++) {
    const ledger = await readLedger()
    const surveys = await again(async () => {
      const found = await findSegments(files, directory)
      return await surveySegments(files, found.filter((one) => !one.unfinished), ledger ?? POSITION_START)
    })
    const isKnown = spoolId !== null && ledger !== undefined
    const fault = isKnown ? judgePosition(evidenceOf(spoolId, surveys), ledger) : null
    if (fault === null || looks === LOOKS_MAX) return { surveys, fault }
    if (isDeepStrictEqual(ledger, await readLedger())) return { surveys, fault }
  }
}

function describeSegment (survey: SegmentSurvey): SegmentInspection {
  const { segment, extents, headerDamaged, damaged, torn, beyond } = survey
  return {
    name: segment.name,
    epoch: segment.epoch,
    firstSequence: extents[0]?.first ?? null,
    lastSequence: extents.at(-1)?.last ?? null,
    base: segment.base,
    frames: extents.reduce((sum, extent) => sum + extent.last - extent.first + 1, 0),
    rows: extents.reduce((sum, extent) => sum + extent.rows, 0),
    fileBytes: segment.bytes,
    headerDamaged,
    damaged,
    tornBytes: torn?.bytes ?? 0,
    waiting: beyond
  }
}

async function again<T> (look: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks++) {
    try {
      return await look()
    } catch (error) {
      if (looks === LOOKS_MAX || systemCode(error) !== 'ENOENT') throw error
    }
  }
}
