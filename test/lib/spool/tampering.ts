/** Changes of the ledger that a spool must notice: by hand, or with a whole database that is restored. */
import type { Position } from '../../../lib/journal/journal.js'
import type { LedgerNote } from '../../../lib/spool/recover/ledger-note.js'
import { comparePositions } from '../../../lib/spool/format/position.js'
import type { Random } from './fake-files.js'

export interface Tampering {
  readonly what: 'setBack' | 'setAhead' | 'deleted' | 'restored'
  /** Where the ledger stands afterwards; null: it has no row. */
  readonly position: Position | null
  /** The faults that name it. */
  readonly kinds: RegExp
}

/** A change as the dice say; null if there is none like that. */
export function pickTampering (random: Random, { committed, sent, sentExact }: LedgerNote, ledger: Position | null, backup: Position | null): Tampering | null {
  if (ledger === null) return null
  switch (random(4)) {
    case 0: return { what: 'setBack', position: { epoch: committed.epoch, sequence: random(committed.sequence) }, kinds: /behind/ }
    case 1: return { what: 'setAhead', position: sentExact ? { epoch: sent.epoch, sequence: sent.sequence + 1 + random(3) } : { epoch: ledger.epoch, sequence: ledger.sequence + 1_000_000 }, kinds: /ahead/ }
    case 2: return { what: 'deleted', position: null, kinds: /missing/ }
    default: return backup === null ? null : { what: 'restored', position: backup, kinds: /behind/ }
  }
}

/**
 * Whether a change is promised to be noticed.
 * @param note of the spool, as it stands on disk
 * @param damaged what frames there were may not be known any more
 */
export function isPromised ({ what, position }: Tampering, note: LedgerNote, damaged: boolean): boolean {
  if (position === null) return note.given
  if (what === 'setAhead') return comparePositions(position, note.sent) > 0 && (note.sentExact || (!damaged && note.complete && position.sequence >= 1_000_000))
  return comparePositions(position, note.committed) < 0
}
