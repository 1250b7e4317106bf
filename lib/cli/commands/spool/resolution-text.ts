/** What `spool resolve` says of a slot whose ledger does not fit: what is in question, what is gone, what was found. */
import { describePosition } from '../../../spool/format/position.js'
import type { Choice, DoubtfulFrames, Resolution } from '../../../spool/operate/resolution.js'
import type { LedgerEntry } from '../../../operations/ledger.js'
import { counted } from '../../table.js'

/** A slot whose ledger does not fit. */
export interface Case {
  readonly slot: number
  readonly directory: string
  readonly spoolId: string
  readonly ledger: LedgerEntry | null
  readonly resolution: Resolution
}

export function describeCase (one: Case): string {
  const { slot, spoolId, resolution: { fault, lower, upper, between, waiting } } = one
  const inQuestion = `${counted(between.rows, 'row')} in ${counted(between.frames, 'frame')}`
  return [
    `slot-${slot}: spool ${spoolId}, FAULT (${fault.kind})`,
    `  ${fault.message}`,
    '',
    `  ${inQuestion} on disk are in question: after ${describePosition(lower)}, up to ${describePosition(upper)}.`,
    '    --store-again      the database does not have them (it was restored, say, or the row was set ahead): store them.',
    '    --already-stored   the database has them (its row was set back or deleted, say): do not store them again.',
    ...goneLines(one),
    ...foundLines(one),
    `  ${counted(waiting.rows, 'row')} in ${counted(waiting.frames, 'frame')} behind that are stored either way.`
  ].join('\n')
}

/** Why nothing was done for a slot: `choice` would store points that the database is seen to have. */
export function describeTwice ({ resolution: { found } }: Case, choice: Choice): string {
  const other = choice === 'store-again' && found?.rowsBehind === 0 ? ' Is --already-stored meant?' : ''
  return `--${choice} would store points a second time that the database seems to have, as said above.${other} ` +
    'If twice is better than not at all, add --accept-twice.'
}

function goneLines ({ resolution: { gone, upper }, ledger }: Case): string[] {
  if (gone === null) return []
  const rows = gone.rows === null ? 'An unknown number of rows' : counted(gone.rows, 'row')
  const frames = gone.frames === null ? '' : ` in ${counted(gone.frames, 'frame')}`
  const since = ledger === null ? '' : ` They were stored after ${ledger.updatedAt.toISOString()}, when the ledger moved last.`
  return [`  ${rows}${frames} up to ${describePosition(upper)} are not on disk any more: if the database does not have them, they are gone.${since}`]
}

function foundLines ({ resolution: { doubt, found } }: Case): string[] {
  if (doubt === null || found === null) return []
  const has = found.through === null ? 'it does not have the first of them' : `it has those up to ${describePosition(found.through)}, ${counted(found.rows, 'row')}`
  return [
    `  ${reasonOf(doubt)}. So the database was searched for them: ${has}.`,
    ...(found.rowsBehind === 0 ? [] : [`  CAUTION: it also has ${counted(found.rowsBehind, 'row')} like some of the frames behind, which count as not stored: a sender sent them twice, or rows were refused or deleted.`])
  ]
}

function reasonOf ({ after, through, cause }: DoubtfulFrames): string {
  return cause === 'under_way'
    ? `Frames after ${describePosition(after)}, up to ${describePosition(through)}, were given to the database, and its answer did not come`
    : `What the spool noted of frames after ${describePosition(after)}, up to ${describePosition(through)}, is lost, as it is after a power cut`
}
