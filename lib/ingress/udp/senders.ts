/**
 * What became of every sender's packets: received, missing, late, duplicate, stale.
 *
 * Nobody is asked who he is: any packet may carry any name, epoch and number, and its source may be forged. So no
 * packet alone may change what becomes of others. A packet is dropped only if it was seen, or may have been.
 *
 * What was seen stands in windows. A window belongs to a name, an epoch and an address; it is a range of numbers, and a
 * bitmap of the highest SEQUENCE_WINDOW of them:
 *
 *       first             highest - SEQUENCE_WINDOW        highest     + JUMP_MAX
 *    ─────┼──────────────────────────┼────────────────────────┼────────────┼────────▶ seq
 *    new  │          stale           │   late or duplicate    │   fresh    │  new
 *
 *   fresh      a little above the highest number: the window moves up, and what it skips is missing from now on
 *   late       in the bitmap and not seen: taken, and missing no more
 *   duplicate  in the bitmap and seen: dropped
 *   stale      below the bitmap, where nobody knows any more: dropped, because storing twice is worse; it stays missing
 *   new        of no window: taken as fresh, and a window of its own begins. The others stay as they are.
 *
 * So a packet with an absurd number or epoch makes a window beside that of the sender, whose packets go on in theirs.
 * Windows of one name, epoch and address never overlap. A window that begins within SEQUENCE_WINDOW of 0, as the only
 * one of its epoch, has all numbers from 0 on; another one joins in the middle, at its first packet, and takes numbers
 * just below it as they come.
 *
 * People see lives. A life is an epoch of a sender as far as it is heard: one window, or several that follow one another.
 * It is on trial until CONFIRMED_PACKETS have come, repeated or not; only then does it count in the totals. If it is of the same epoch as
 * a life further down, and no further up than a sender can have come since that was heard, it goes on with that life:
 * what lies between is missing. That is how a sender comes back after an hour without a network. So for a life
 *
 *   highest - first + 1 = received + missing
 *
 * and once a heartbeat with the last number has arrived, the left side is what the sender sent. (But for a sender that
 * repeats numbers from another address: those count as received twice.)
 *
 * Bounded: WINDOWS_MAX windows of 600 bytes a sender. To make room goes one on trial, else one not heard for SILENCE_MS,
 * else the one with fewest packets. SENDERS_MAX senders; to make room goes one without a confirmed life, else the one not
 * heard for longest. So to reset what is known of a sender takes more packets than it sends itself, and all that is
 * lost with it is the knowledge of what may still come twice.
 */

/** Numbers below the highest within which a repeated packet is known. A power of two. */
export const SEQUENCE_WINDOW = 4096
/** How far above its highest number a window follows at once: with every forged packet that pushes it, so far at most. */
export const JUMP_MAX = 256
/** Packets after which a life counts, repeated ones among them. */
export const CONFIRMED_PACKETS = 4
const WINDOWS_MAX = 4
/** Longer than a packet is on its way. */
const SILENCE_MS = 60_000
/** More than one sender can send: twice what one process of ours can take. */
export const PACKETS_PER_SECOND_MAX = 100_000
const SENDERS_MAX = 10_000
/** Names are sorted anew for a list after a change, but many of them not more often than this. */
const SORTED_MS = 500
const SORTED_AT_ONCE_MAX = 1_000

export type Verdict = 'fresh' | 'late' | 'duplicate' | 'stale'

/** Packets of all senders since the start; these only grow. Missing now: gaps - late. */
export interface SequenceTotals {
  /** Packets that were not there when one of a higher number came. */
  gaps: number
  /** Of these, packets that came after all. */
  late: number
  duplicates: number
  stale: number
  /** Lives that were confirmed after another one of the same sender. */
  restarts: number
  /** Packets of lives that made room on trial: of numbers or epochs that nothing followed. */
  strays: number
  /** Senders that made room for others. */
  evicted: number
}

/** A life as people see it. */
export interface LifeSummary {
  readonly epoch: number
  /** First number that is counted; not 0 if this listener joined in the middle of a life. */
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

/** One sender as people see it: the confirmed life that was heard last, else the one on trial. */
export interface SenderSummary extends LifeSummary {
  readonly sender: string
  readonly restarts: number
  /** What else is remembered under its name: a life before, or packets of somebody else. */
  readonly other_lives: readonly LifeSummary[]
}

export interface SenderPage {
  readonly total: number
  readonly offset: number
  readonly senders: readonly SenderSummary[]
}

class Life {
  received = 0
  gaps: number
  late = 0
  duplicates = 0
  stale = 0
  confirmed = false
  lastSeenMs = 0

  constructor (readonly epoch: number, public first: number, public highest: number) {
    this.gaps = highest - first
  }

  /** Goes on with a confirmed life of its epoch. Returns the numbers between the two. */
  absorb (later: Life): number {
    const between = later.first - this.highest - 1
    this.highest = later.highest
    this.received += later.received
    this.gaps += between + later.gaps
    this.late += later.late
    this.duplicates += later.duplicates
    this.stale += later.stale
    return between
  }

  summary (): LifeSummary {
    const { epoch, first, highest, received, gaps, late, duplicates, stale, confirmed } = this
    return { epoch, first, highest, received, missing: gaps - late, late, duplicates, stale, confirmed, last_seen: new Date(this.lastSeenMs).toISOString() }
  }
}

class Window {
  first = 0
  highest = 0
  heardMs = 0
  private readonly seen = new Uint32Array(SEQUENCE_WINDOW / 32)

  constructor (public life: Life, public address: string) {}

  begin (life: Life, address: string): this {
    this.life = life
    this.address = address
    this.first = life.first
    this.highest = life.highest
    this.heardMs = life.lastSeenMs
    this.seen.fill(0)
    this.mark(life.highest)
    return this
  }

  has (seq: number): boolean {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    return ((this.seen[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0
  }

  mark (seq: number): void {
    const bit = seq & (SEQUENCE_WINDOW - 1)
    this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) | (1 << (bit & 31))
  }

  /** Moves up to seq, JUMP_MAX ahead at most, with everything that comes into the bitmap unseen. */
  advance (seq: number): void {
    for (let next = this.highest + 1; next < seq; next++) {
      const bit = next & (SEQUENCE_WINDOW - 1)
      this.seen[bit >>> 5] = (this.seen[bit >>> 5] ?? 0) & ~(1 << (bit & 31))
    }
    this.mark(seq)
    this.highest = seq
  }
}

class Sender {
  restarts = 0
  /** A life of it was confirmed. */
  settled = false
  /** The one heard last first. */
  readonly windows: Window[] = []
  private spare: Window | null = null

  constructor (public name: string) {}

  /** Serves another name. One bitmap is kept: under a flood of invented senders none is allocated. */
  rename (name: string): void {
    this.name = name
    this.restarts = 0
    this.settled = false
    this.spare = this.windows[0] ?? null
    this.windows.length = 0
  }

  /** Puts a new window in front. Returns the life on trial that made room, if one did. */
  open (life: Life, address: string, nowMs: number): Life | null {
    const at = this.windows.length < WINDOWS_MAX ? -1 : this.leastWorth(nowMs)
    const [removed] = at < 0 ? [] : this.windows.splice(at, 1)
    const lost = removed === undefined || removed.life.confirmed ? null : removed.life
    this.windows.unshift((removed ?? this.spare ?? new Window(life, address)).begin(life, address))
    this.spare = null
    return lost
  }

  toFront (at: number): void {
    const [window] = this.windows.splice(at, 1)
    if (window !== undefined) this.windows.unshift(window)
  }

  summary (): SenderSummary[] {
    const lives = [...new Set(this.windows.map(({ life }) => life))]
    const present = lives.find(({ confirmed }) => confirmed) ?? lives[0]
    if (present === undefined) return []
    const others = lives.filter((life) => life !== present).map((life) => life.summary())
    return [{ sender: this.name, ...present.summary(), restarts: this.restarts, other_lives: others }]
  }

  private leastWorth (nowMs: number): number {
    const onTrial = this.windows.findLastIndex(({ life }) => !life.confirmed)
    if (onTrial >= 0) return onTrial
    const silent = this.windows.findLastIndex(({ heardMs }) => nowMs - heardMs >= SILENCE_MS)
    if (silent >= 0) return silent
    const received = this.windows.map(({ life }) => life.received)
    return received.lastIndexOf(Math.min(...received))
  }
}

export class SenderTable {
  readonly totals: SequenceTotals = { gaps: 0, late: 0, duplicates: 0, stale: 0, restarts: 0, strays: 0, evicted: 0 }
  /** Both with the least recently heard first. */
  private readonly newcomers = new Map<string, Sender>()
  private readonly settled = new Map<string, Sender>()
  private newest: Sender | null = null
  private sorted: readonly string[] = []
  private sortedMs = -Infinity
  /** Names came or went since they were sorted. */
  private changed = false

  constructor (private readonly sendersMax = SENDERS_MAX) {}

  get size (): number {
    return this.newcomers.size + this.settled.size
  }

  /** Puts a packet into its sequence; 'fresh' and 'late' ones are to be taken, the others dropped. */
  observe (name: string, epoch: number, seq: number, address: string, nowMs: number): Verdict {
    const sender = this.newest?.name === name ? this.newest : this.touch(name)
    const { windows } = sender
    let below = -1
    let above = -1
    for (let at = 0; at < windows.length; at++) {
      const window = windows[at] as Window
      if (window.life.epoch !== epoch || window.address !== address) continue
      if (seq > window.highest) {
        if (below < 0 || window.highest > (windows[below] as Window).highest) below = at
      } else if (seq < window.first) {
        if (above < 0 || window.first < (windows[above] as Window).first) above = at
      } else {
        return this.inside(sender, at, seq, nowMs)
      }
    }
    if (below >= 0 && seq - (windows[below] as Window).highest <= JUMP_MAX) return this.goOn(sender, below, seq, nowMs)
    if (above >= 0 && seq > (windows[above] as Window).highest - SEQUENCE_WINDOW) return this.reachDown(sender, above, seq, nowMs)
    return this.begin(sender, epoch, seq, address, nowMs)
  }

  /** Senders by name, so that pages stay in place while packets arrive; with a name, that sender alone. */
  list (offset: number, limit: number, name: string | null = null): SenderPage {
    const names = name === null ? this.names() : [name].filter((each) => this.find(each) !== undefined)
    return { total: names.length, offset, senders: names.slice(offset, offset + limit).flatMap((each) => this.find(each)?.summary() ?? []) }
  }

  /** Within the range of a window. */
  private inside (sender: Sender, at: number, seq: number, nowMs: number): Verdict {
    const window = this.hear(sender, at, nowMs)
    if (seq <= window.highest - SEQUENCE_WINDOW) {
      window.life.stale++
      this.totals.stale++
      return 'stale'
    }
    if (window.has(seq)) {
      window.life.duplicates++
      this.totals.duplicates++
      this.confirmIfHeard(sender, window.life, nowMs)
      return 'duplicate'
    }
    window.mark(seq)
    return this.take(sender, window.life, seq, nowMs)
  }

  private goOn (sender: Sender, at: number, seq: number, nowMs: number): Verdict {
    const window = this.hear(sender, at, nowMs)
    window.advance(seq)
    return this.take(sender, window.life, seq, nowMs)
  }

  private reachDown (sender: Sender, at: number, seq: number, nowMs: number): Verdict {
    const window = this.hear(sender, at, nowMs)
    window.first = seq
    window.mark(seq)
    return this.take(sender, window.life, seq, nowMs)
  }

  private begin (sender: Sender, epoch: number, seq: number, address: string, nowMs: number): Verdict {
    const isJoined = seq >= SEQUENCE_WINDOW || sender.windows.some(({ life }) => life.epoch === epoch)
    const life = new Life(epoch, isJoined ? seq : 0, seq)
    life.received = 1
    life.lastSeenMs = nowMs
    this.totals.strays += sender.open(life, address, nowMs)?.received ?? 0
    return 'fresh'
  }

  private hear (sender: Sender, at: number, nowMs: number): Window {
    if (at > 0) sender.toFront(at)
    const window = sender.windows[0] as Window
    window.heardMs = window.life.lastSeenMs = nowMs
    return window
  }

  /** Counts a packet that was not seen before. */
  private take (sender: Sender, life: Life, seq: number, nowMs: number): Verdict {
    life.received++
    const isFresh = seq > life.highest
    const skipped = isFresh ? seq - life.highest - 1 : Math.max(life.first - seq, 0)
    if (isFresh) life.highest = seq
    else life.first = Math.min(life.first, seq)
    life.gaps += skipped
    // Never below nothing, if numbers come twice from two addresses.
    const isFound = !isFresh && life.late < life.gaps
    if (isFound) life.late++
    if (life.confirmed) this.count(skipped, isFound ? 1 : 0)
    else this.confirmIfHeard(sender, life, nowMs)
    return isFresh ? 'fresh' : 'late'
  }

  /** Repeated packets speak for a life too: the last heartbeat, after a loss, may be all that there is of it. */
  private confirmIfHeard (sender: Sender, life: Life, nowMs: number): void {
    if (!life.confirmed && life.received + life.duplicates >= CONFIRMED_PACKETS) this.confirm(sender, life, nowMs)
  }

  private confirm (sender: Sender, life: Life, nowMs: number): void {
    life.confirmed = true
    this.count(life.gaps, life.late)
    const before = this.lifeBefore(sender, life, nowMs)
    if (before !== null) {
      this.count(before.absorb(life), 0)
      before.lastSeenMs = nowMs
      for (const window of sender.windows) if (window.life === life) window.life = before
    } else if (sender.settled) {
      sender.restarts++
      this.totals.restarts++
    }
    if (sender.settled) return
    sender.settled = true
    this.newcomers.delete(sender.name)
    this.settled.set(sender.name, sender)
  }

  /** The life that this one goes on with: the highest of its epoch from which a sender can have come so far. */
  private lifeBefore (sender: Sender, life: Life, nowMs: number): Life | null {
    let found: Life | null = null
    for (const { life: other } of sender.windows) {
      if (other === life || !other.confirmed || other.epoch !== life.epoch || other.highest >= life.first) continue
      const sentMax = PACKETS_PER_SECOND_MAX * (1 + Math.max(nowMs - other.lastSeenMs, 0) / 1_000)
      if (life.first - other.highest <= sentMax && (found === null || other.highest > found.highest)) found = other
    }
    return found
  }

  /** Sums stay whole numbers, whatever numbers packets carry. */
  private count (gaps: number, late: number): void {
    this.totals.gaps = Math.min(this.totals.gaps + gaps, Number.MAX_SAFE_INTEGER)
    this.totals.late += late
  }

  private find (name: string): Sender | undefined {
    return this.settled.get(name) ?? this.newcomers.get(name)
  }

  private names (): readonly string[] {
    const nowMs = performance.now()
    if (this.changed && (this.size <= SORTED_AT_ONCE_MAX || nowMs - this.sortedMs >= SORTED_MS)) {
      this.sorted = [...this.newcomers.keys(), ...this.settled.keys()].sort()
      this.sortedMs = nowMs
      this.changed = false
    }
    return this.sorted
  }

  /** The sender of this name as the one heard last; a new one if it is not here. */
  private touch (name: string): Sender {
    const sender = this.find(name) ?? this.admit(name)
    const group = sender.settled ? this.settled : this.newcomers
    group.delete(name)
    group.set(name, sender)
    this.newest = sender
    return sender
  }

  private admit (name: string): Sender {
    this.changed = true
    if (this.size < this.sendersMax) return new Sender(name)
    const group = this.newcomers.size > 0 ? this.newcomers : this.settled
    const oldest = group.values().next().value
    if (oldest === undefined) return new Sender(name)
    group.delete(oldest.name)
    this.totals.evicted++
    oldest.rename(name)
    return oldest
  }
}
