/** Changes of the ledger, by hand or by restoring the database, and which of them a spool must notice. */
import type { LedgerPosition } from '../../../lib/journal/journal.js'
import type { LedgerEvidence } from '../../../lib/spool/recover/ledger-position.js'
import { comparePositions } from '../../../lib/spool/format/position.js'
import type { Random } from './fake-files.js'

export interface Tampering {
  readonly what: 'setBack' | 'setAhead' | 'deleted' | 'restored'
  /** The ledger's position afterwards; null: no row. */
  readonly position: LedgerPosition | null
  /** The faults that may report it. */
  readonly kinds: RegExp
}

/** A random change; null: it is not possible. */
export function pickTampering (
  random: Random, ledger: LedgerPosition, backup: LedgerPosition | null
): Tampering | null {
  switch (random(4)) {
    case 0: {
      if (ledger.sequence === 0) return null
      return { what: 'setBack', position: { ...ledger, sequence: random(ledger.sequence) }, kinds: /behind/ }
    }
    case 1: return { what: 'setAhead', position: { ...ledger, sequence: ledger.sequence + 1_000_000 }, kinds: /ahead/ }
    case 2: return { what: 'deleted', position: null, kinds: /missing/ }
    default: return backup === null ? null : { what: 'restored', position: backup, kinds: /behind/ }
  }
}

/** Whether a spool that knows `evidence` must notice the change. */
export function isPromised (
  { what, position }: Tampering, { entered, released, epochs }: Pick<LedgerEvidence, 'entered' | 'released' | 'epochs'>
): boolean {
  if (position === null) return entered
  if (what === 'setAhead') return epochs.get(position.epoch)?.end !== Number.POSITIVE_INFINITY
  return comparePositions(position, released) < 0
}
