/**
 * What became of every sender's packets: received, missing, late, duplicate, stale.
 *
 * A life is one epoch of a sender. Its packets are numbered from 0, and a bitmap remembers which of the last
 * SEQUENCE_WINDOW numbers have arrived:
 *
 *         first                 highest - WINDOW         highest
 *    ───────┼────────────────────────────┼──────────────────┼────────▶ seq
 *           │        stale: dropped      │ late or duplicate│ fresh
 *
 *   fresh      above highest; what it skips is missing from now on
 *   late       in the window and not seen: taken, and missing no more
 *   duplicate  in the window and seen: dropped
 *   stale      below the window, where nobody knows any more whether it was seen, or of an earlier life: dropped,
 *              because storing twice is worse; a stale packet stays missing
 *
 * So at any time, for a life:  highest - first + 1 = received + missing.  Once a heartbeat with the last number has
 * arrived, the left side is what the sender sent.
 *
 * `first` is 0, unless the first packet that is heard is numbered SEQUENCE_WINDOW or higher: then this table joins in
 * the middle of a life (its process was started, or the sender pushed out), and counts from there.
 *
 * A higher epoch begins a new life. A lower one is an old packet that strayed, unless its sender has been silent under
 * the higher epoch for EPOCH_SILENCE_MS, longer than a packet is on its way: then its clock went back, and it begins
 * a new life too.
 *
 * Bounded: sendersMax entries of about 700 bytes; the one not seen for longest makes room.
 */

/** Numbers below the highest within which a repeated packet is known. A power of two. */
export const SEQUENCE_WINDOW = 4096
/** Silence after which a lower epoch is believed. */
export const EPOCH_SILENCE_MS = 60_000
const SENDERS_MAX = 10_000

export type Verdict = 'fresh' | 'late' | 'duplicate' | 'stale'

/** Packets of all senders since the start; these only grow. Missing now: gaps - late. */
export interface SequenceTotals {
  /** Packets that were not there when one of a higher number came. */
  gaps: number
  /** Of these, packets that came after all. */
  late: number
  duplicates: number
  stale: number
  /** Lives that began after another one of the same sender. */
  restarts: number
  /** Senders that made room for others. */
  evicted: number
}

/** One sender as people see it; the numbers are those of its present life. */
export interface SenderSummary {
  readonly sender: string
  readonly epoch: number
  /** First number that is counted; not 0 if this listener joined in the middle of a life. */
  readonly first: number
  readonly highest: number
  readonly received: number
  readonly missing: number
  readonly late: number
  readonly duplicates: number
  readonly stale: number
  readonly restarts: number
  /** ISO 8601. */
  readonly last_seen: string
}

export interface SenderPage {
  readonly total: number
  readonly offset: number
  readonly senders: readonly SenderSummary[]
}

class Sender {
  epoch = 0
  first = 0
  highest = 0
  received = 0
  gaps = 0
  late = 0
  duplicates = 0
  stale = 0
  restarts = 0
  lastSeenMs = 0
  /** Last packet of the present life. */
  lastLifeMs = 0
  private readonly seen = new Uint32Array(SEQUENCE_WINDOW / 32)

  constructor (public name: string) {}

  /** Begins a life with the first packet heard of it. */
  begin (epoch: number, seq: number): void {
    this.epoch = epoch
    this.first = seq < SEQUENCE_WINDOW ? 0 : seq
    this.highest = seq
    this.received = 1
    this.gaps = seq - this.first
    this.late = this.duplicates = this.stale = 0
    this.seen.fill(0)
    this.mark(seq)
  }

  has (seq: number): boolean {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    return ((this.seen[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0
  }

  mark (seq: number): void {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) | (1 << (bit & 31))
  }

  /** Moves the window up to seq, with everything that enters it unseen. */
  advance (seq: number): void {
    if (seq - this.highest >= SEQUENCE_WINDOW) {
      this.seen.fill(0)
    } else {
      for (let next = this.highest + 1; next < seq; next++) {
        const bit = next & (SEQUENCE_WINDOW - 1)
        this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) & ~(1 << (bit & 31))
      }
    }
    this.mark(seq)
    this.highest = seq
  }

  summary (): SenderSummary {
    const { name, epoch, first, highest, received, gaps, late, duplicates, stale, restarts } = this
    const lastSeen = new Date(this.lastSeenMs).toISOString()
    return { sender: name, epoch, first, highest, received, missing: gaps - late, late, duplicates, stale, restarts, last_seen: lastSeen }
  }
}

export class SenderTable {
  readonly totals: SequenceTotals = { gaps: 0, late: 0, duplicates: 0, stale: 0, restarts: 0, evicted: 0 }
  /** Least recently seen first. */
  private readonly senders = new Map<string, Sender>()
  private newest: Sender | null = null

  constructor (private readonly sendersMax = SENDERS_MAX) {}

  get size (): number {
    return this.senders.size
  }

  /** Puts a packet into its sequence; 'fresh' and 'late' ones are to be taken, the others dropped. */
  observe (name: string, epoch: number, seq: number, nowMs: number): Verdict {
    const sender = this.newest?.name === name ? this.newest : this.touch(name)
    // A sender that was just admitted has received nothing.
    const isNew = sender.received === 0
    const isSilent = nowMs - sender.lastLifeMs >= EPOCH_SILENCE_MS
    sender.lastSeenMs = nowMs
    if (isNew || epoch > sender.epoch || (epoch < sender.epoch && isSilent)) {
      if (!isNew) {
        sender.restarts++
        this.totals.restarts++
      }
      sender.begin(epoch, seq)
      sender.lastLifeMs = nowMs
      this.totals.gaps += sender.gaps
      return 'fresh'
    }
    if (epoch < sender.epoch) return this.stale(sender)
    sender.lastLifeMs = nowMs
    return this.place(sender, seq)
  }

  /** Senders by name, so that pages stay in place while packets arrive; with a name, that sender alone. */
  list (offset: number, limit: number, name: string | null = null): SenderPage {
    const names = name === null ? Array.from(this.senders.keys()).sort() : [name].filter(each => this.senders.has(each))
    const page = names.slice(offset, offset + limit)
    return { total: names.length, offset, senders: page.flatMap(name => this.senders.get(name)?.summary() ?? []) }
  }

  private place (sender: Sender, seq: number): Verdict {
    if (seq > sender.highest) {
      const skipped = seq - sender.highest - 1
      sender.gaps += skipped
      this.totals.gaps += skipped
      sender.advance(seq)
      sender.received++
      return 'fresh'
    }
    if (seq <= sender.highest - SEQUENCE_WINDOW) return this.stale(sender)
    if (sender.has(seq)) {
      sender.duplicates++
      this.totals.duplicates++
      return 'duplicate'
    }
    if (seq < sender.first) {
      const skipped = sender.first - seq
      sender.gaps += skipped
      this.totals.gaps += skipped
      sender.first = seq
    }
    sender.mark(seq)
    sender.received++
    sender.late++
    this.totals.late++
    return 'late'
  }

  private stale (sender: Sender): Verdict {
    sender.stale++
    this.totals.stale++
    return 'stale'
  }

  /** The sender of this name as the one seen last; a new one if it is not here. */
  private touch (name: string): Sender {
    const known = this.senders.get(name)
    if (known !== undefined) this.senders.delete(name)
    const sender = known ?? this.admit(name)
    this.senders.set(name, sender)
    this.newest = sender
    return sender
  }

  private admit (name: string): Sender {
    const oldest = this.senders.size < this.sendersMax ? undefined : this.senders.values().next().value
    if (oldest === undefined) return new Sender(name)
    // Its bitmap serves on: under a flood of invented senders nothing is allocated.
    this.senders.delete(oldest.name)
    this.totals.evicted++
    oldest.name = name
    oldest.received = 0
    oldest.restarts = 0
    return oldest
  }
}
