/**
 * A life: one epoch of a sender as far as it was heard. This is what `/udp/senders` reports. It covers one window, or
 * several that follow one another.
 *
 *   trial ──────▶ confirmed ──▶ dropped
 *     │ └───────▶ merged           ▲
 *     └────────────────────────────┘
 *
 *   trial      fewer than CONFIRMED_PACKETS packets heard, repeats included; not part of the totals
 *   confirmed  part of the totals
 *   merged     on confirmation it turned out to continue an earlier confirmed life of its epoch; that one has its
 *              packets, and everything in between is missing
 *   dropped    the last window that refers to it was reused; a life dropped on trial is a stray
 *
 * Merging is how a sender comes back after an hour without a network. For every life
 *
 *   highest - first + 1 = received + missing
 *
 * and once a heartbeat with the last number has arrived, the left side is what the sender sent. (Except for a sender
 * that repeats numbers from another address: those count as received twice.)
 */
import { AssertionError } from 'node:assert'

/** Packets, repeats included, that confirm a life. */
export const CONFIRMED_PACKETS = 4
/** More than one sender can send: twice what one of our processes can receive. */
export const PACKETS_PER_SECOND_MAX = 100_000

type LifeState = 'trial' | 'confirmed' | 'merged' | 'dropped'

const PREDECESSORS: Readonly<Record<LifeState, readonly LifeState[]>> = {
  trial: [],
  confirmed: ['trial'],
  merged: ['trial'],
  dropped: ['trial', 'confirmed']
}

/** A life as `/udp/senders` shows it. */
export interface LifeSummary {
  readonly epoch: number
  /** First number counted; not 0 if this listener joined midway. */
  readonly first: number
  readonly highest: number
  readonly received: number
  readonly missing: number
  readonly late: number
  readonly duplicates: number
  readonly stale: number
  /** False: on trial. */
  readonly confirmed: boolean
  /** ISO 8601. */
  readonly last_seen: string
}

/** A life as plain data. */
export type SavedLife = { readonly state: LifeState } & Readonly<Pick<Life, 'epoch' | 'first' | 'highest' |
  'lastSeenMs' | 'received' | 'gaps' | 'late' | 'duplicates' | 'stale'>>

export class Life {
  received = 1
  gaps: number
  late = 0
  duplicates = 0
  stale = 0
  private state: LifeState = 'trial'

  /** Starts on trial with its first packet, `highest`. */
  constructor (readonly epoch: number, public first: number, public highest: number, public lastSeenMs: number) {
    this.gaps = highest - first
  }

  static load (saved: SavedLife): Life {
    const life = new Life(saved.epoch, saved.first, saved.highest, saved.lastSeenMs)
    Object.assign(life, saved)
    return life
  }

  save (): SavedLife {
    const { epoch, first, highest, lastSeenMs, received, gaps, late, duplicates, stale, state } = this
    return { epoch, first, highest, lastSeenMs, received, gaps, late, duplicates, stale, state }
  }

  get isConfirmed (): boolean {
    return this.state === 'confirmed'
  }

  /** On trial, and heard often enough. */
  get awaitsConfirmation (): boolean {
    return this.state === 'trial' && this.received + this.duplicates >= CONFIRMED_PACKETS
  }

  /** Counts a packet that was not seen before. */
  accept (seq: number): 'fresh' | 'late' {
    this.received++
    if (seq > this.highest) {
      this.gaps += seq - this.highest - 1
      this.highest = seq
      return 'fresh'
    }
    if (seq < this.first) {
      this.gaps += this.first - seq
      this.first = seq
    }
    // Never more than gaps, even if numbers arrive from two addresses.
    if (this.late < this.gaps) this.late++
    return 'late'
  }

  confirm (): void {
    this.enter('confirmed')
  }

  /** Moves everything counted so far to an earlier life. Returns how many numbers lie between the two. */
  mergeInto (earlier: Life): number {
    this.enter('merged')
    const between = this.first - earlier.highest - 1
    earlier.highest = this.highest
    earlier.received += this.received
    earlier.gaps += between + this.gaps
    earlier.late += this.late
    earlier.duplicates += this.duplicates
    earlier.stale += this.stale
    earlier.lastSeenMs = this.lastSeenMs
    return between
  }

  drop (): void {
    this.enter('dropped')
  }

  /** Whether a life of the same sender may continue this one: same epoch, higher, and within reach since last heard. */
  isContinuedBy (later: Life): boolean {
    if (!this.isConfirmed || this === later || this.epoch !== later.epoch || this.highest >= later.first) return false
    const silentMs = Math.max(later.lastSeenMs - this.lastSeenMs, 0)
    return later.first - this.highest <= PACKETS_PER_SECOND_MAX * (1 + silentMs / 1_000)
  }

  summary (): LifeSummary {
    const { epoch, first, highest, received, gaps, late, duplicates, stale, isConfirmed } = this
    return {
      epoch,
      first,
      highest,
      received,
      missing: gaps - late,
      late,
      duplicates,
      stale,
      confirmed: isConfirmed,
      last_seen: new Date(this.lastSeenMs).toISOString()
    }
  }

  private enter (next: LifeState): void {
    if (!PREDECESSORS[next].includes(this.state)) {
      throw new AssertionError({ message: `a life cannot go from ${this.state} to ${next}` })
    }
    this.state = next
  }
}
