/**
 * The senders of one port, and what became of their packets: received, missing, late, duplicate, stale.
 *
 * These senders are not authenticated (keyed-senders.ts has those that are): any packet may carry any name, epoch and
 * number, and a forged source address. So no single packet may affect how others are treated, and a packet is dropped
 * only if it was, or may have been, seen before. Windows decide that (window.ts); lives are what is reported (life.ts).
 *
 * A sender is
 *
 *   newcomer     no life of it was ever confirmed
 *   established  one was; each later one that is confirmed and continues no other counts as a restart
 *
 * and goes from newcomer to established. When evicted, the object is recycled as a newcomer of another name.
 *
 * Bounded: WINDOWS_MAX windows of 600 bytes per sender, SENDERS_MAX senders. The window reused first is one on trial,
 * else one not heard for SILENCE_MS, else the one with the fewest packets. The sender evicted first is a newcomer, else
 * the one not heard for longest. So making the table forget a sender takes more packets than the sender itself sends,
 * and all that is lost is which packets are repeats.
 */
import { strict as assert } from 'node:assert'
import { Life, type LifeSummary, type SavedLife } from './life.js'
import { JUMP_MAX, SEQUENCE_WINDOW, Window, type SavedWindow } from './window.js'

const WINDOWS_MAX = 4
/** Longer than any packet spends in transit. */
const SILENCE_MS = 60_000
const SENDERS_MAX = 10_000
/** Minimum interval between sorts of the list of names, if there are more than SORTED_AT_ONCE_MAX. */
export const SORTED_MS = 500
export const SORTED_AT_ONCE_MAX = 1_000

export type Verdict = 'fresh' | 'late' | 'duplicate' | 'stale'

/** Packets of all senders since the start, never decreasing. Missing now: gaps - late. */
export interface SequenceTotals {
  /** Packets that had not arrived when a higher number did. */
  gaps: number
  /** Those of them that arrived after all. */
  late: number
  duplicates: number
  stale: number
  /** Lives confirmed after another one of the same sender. */
  restarts: number
  /** Packets of lives dropped on trial: numbers or epochs that nothing followed. */
  strays: number
  /** Senders removed to make room for others. */
  evicted: number
}

/** A sender as `/udp/senders` shows it: its confirmed life heard last, else the one on trial. */
export interface SenderSummary extends LifeSummary {
  readonly sender: string
  /** Id of the key that authenticates it; null: none does. */
  readonly key: string | null
  readonly restarts: number
  /** Everything else known under its name: an earlier life, or packets from somebody else. */
  readonly other_lives: readonly LifeSummary[]
}

export interface SenderPage {
  readonly total: number
  readonly offset: number
  readonly senders: readonly SenderSummary[]
}

interface SavedSender {
  readonly name: string
  readonly restarts: number
  readonly lives: readonly SavedLife[]
  /** Each with the index of its life. */
  readonly windows: ReadonlyArray<readonly [life: number, window: SavedWindow]>
}

/** A table as plain data, both groups least recently heard first; about 900 bytes a window. */
export interface SavedSenders {
  readonly newcomers: readonly SavedSender[]
  readonly established: readonly SavedSender[]
}

class Sender {
  restarts = 0
  private state: 'newcomer' | 'established' = 'newcomer'
  /** Most recently heard first. */
  readonly windows: Window[] = []
  private spare: Window | null = null

  constructor (public name: string) {}

  get isEstablished (): boolean {
    return this.state === 'established'
  }

  establish (): void {
    assert(this.state === 'newcomer', 'a sender is established once')
    this.state = 'established'
  }

  /** Starts over, under another name. Keeps one bitmap, so that a flood of invented senders allocates none. */
  recycle (name: string): void {
    this.name = name
    this.restarts = 0
    this.state = 'newcomer'
    this.spare = this.windows[0] ?? null
    this.windows.length = 0
  }

  /** Opens a window in front. Returns the packets of a life that was dropped on trial to make room. */
  open (life: Life, address: string, nowMs: number): number {
    const at = this.windows.length < WINDOWS_MAX ? -1 : this.leastValuable(nowMs)
    const [reused] = at < 0 ? [] : this.windows.splice(at, 1)
    const strays = reused === undefined || reused.life.isConfirmed ? 0 : reused.life.received
    if (reused !== undefined && !this.windows.some((window) => window.life === reused.life)) reused.life.drop()
    this.windows.unshift((reused ?? this.spare ?? new Window(life, address)).open(life, address))
    this.spare = null
    return strays
  }

  toFront (at: number): void {
    const [window] = this.windows.splice(at, 1)
    if (window !== undefined) this.windows.unshift(window)
  }

  /** The life that `later` continues: of those it can, the one with the highest number. */
  lifeBefore (later: Life): Life | null {
    let found: Life | null = null
    for (const { life } of this.windows) {
      if (life.isContinuedBy(later) && (found === null || life.highest > found.highest)) found = life
    }
    return found
  }

  summary (): SenderSummary[] {
    const lives = [...new Set(this.windows.map(({ life }) => life))]
    const current = lives.find(({ isConfirmed }) => isConfirmed) ?? lives[0]
    if (current === undefined) return []
    const others = lives.filter((life) => life !== current).map((life) => life.summary())
    return [{ sender: this.name, key: null, ...current.summary(), restarts: this.restarts, other_lives: others }]
  }

  save (): SavedSender {
    const lives = [...new Set(this.windows.map(({ life }) => life))]
    return {
      name: this.name,
      restarts: this.restarts,
      lives: lives.map((life) => life.save()),
      windows: this.windows.map((window) => [lives.indexOf(window.life), window.save()])
    }
  }

  load ({ restarts, lives, windows }: SavedSender): void {
    const loaded = lives.map((life) => Life.load(life))
    this.restarts = restarts
    for (const [index, window] of windows) {
      const life = loaded[index]
      assert(life !== undefined, 'a window belongs to a life of its sender')
      this.windows.push(Window.load(life, window))
    }
  }

  private leastValuable (nowMs: number): number {
    const onTrial = this.windows.findLastIndex(({ life }) => !life.isConfirmed)
    if (onTrial >= 0) return onTrial
    const silent = this.windows.findLastIndex(({ heardMs }) => nowMs - heardMs >= SILENCE_MS)
    if (silent >= 0) return silent
    const received = this.windows.map(({ life }) => life.received)
    return received.lastIndexOf(Math.min(...received))
  }
}

export class SenderTable {
  readonly totals: SequenceTotals = { gaps: 0, late: 0, duplicates: 0, stale: 0, restarts: 0, strays: 0, evicted: 0 }
  /** Both least recently heard first. */
  private readonly newcomers = new Map<string, Sender>()
  private readonly established = new Map<string, Sender>()
  private lastHeard: Sender | null = null
  private sorted: readonly string[] = []
  private sortedMs = -Infinity
  /** Names were added or removed since the last sort. */
  private changed = false

  constructor (private readonly sendersMax = SENDERS_MAX) {}

  get size (): number {
    return this.newcomers.size + this.established.size
  }

  /** Places a packet in its sequence. 'fresh' and 'late' packets are to be accepted, the others dropped. */
  observe (name: string, epoch: number, seq: number, address: string, nowMs: number): Verdict {
    const sender = this.lastHeard?.name === name ? this.lastHeard : this.touch(name)
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
    if (below >= 0 && seq - (windows[below] as Window).highest <= JUMP_MAX) {
      const window = hear(sender, below, nowMs)
      window.advance(seq)
      return this.accept(sender, window.life, seq)
    }
    if (above >= 0 && seq > (windows[above] as Window).highest - SEQUENCE_WINDOW) {
      const window = hear(sender, above, nowMs)
      window.extendDown(seq)
      return this.accept(sender, window.life, seq)
    }
    return this.begin(sender, epoch, seq, address, nowMs)
  }

  /** All senders as plain data, for a process that takes over. */
  save (): SavedSenders {
    return { newcomers: saveAll(this.newcomers), established: saveAll(this.established) }
  }

  /** For an empty table. Totals are not part of it: they count what this process received. */
  load ({ newcomers, established }: SavedSenders): void {
    assert(this.size === 0, 'only an empty table takes over')
    for (const saved of newcomers) this.newcomers.set(saved.name, loadSender(saved))
    for (const saved of established) {
      const sender = loadSender(saved)
      sender.establish()
      this.established.set(saved.name, sender)
    }
    this.changed = true
  }

  /** Names of all senders, sorted. */
  get names (): readonly string[] {
    const nowMs = performance.now()
    if (this.changed && (this.size <= SORTED_AT_ONCE_MAX || nowMs - this.sortedMs >= SORTED_MS)) {
      this.sorted = [...this.newcomers.keys(), ...this.established.keys()].sort()
      this.sortedMs = nowMs
      this.changed = false
    }
    return this.sorted
  }

  /** One sender; none if it is unknown. */
  summary (name: string): SenderSummary[] {
    return this.find(name)?.summary() ?? []
  }

  /** Senders by name, so that pages stay in place while packets arrive; with a name, that sender alone. */
  list (offset: number, limit: number, name: string | null = null): SenderPage {
    const names = name === null ? this.names : [name].filter((each) => this.find(each) !== undefined)
    const senders = names.slice(offset, offset + limit).flatMap((each) => this.find(each)?.summary() ?? [])
    return { total: names.length, offset, senders }
  }

  /** Within the range of a window. */
  private inside (sender: Sender, at: number, seq: number, nowMs: number): Verdict {
    const window = hear(sender, at, nowMs)
    if (seq <= window.highest - SEQUENCE_WINDOW) {
      window.life.stale++
      this.totals.stale++
      return 'stale'
    }
    if (window.has(seq)) {
      window.life.duplicates++
      this.totals.duplicates++
      // Repeats confirm a life too: after a loss, the repeated last heartbeat may be all that arrives of it.
      if (window.life.awaitsConfirmation) this.confirm(sender, window.life)
      return 'duplicate'
    }
    window.mark(seq)
    return this.accept(sender, window.life, seq)
  }

  /** Outside every window. */
  private begin (sender: Sender, epoch: number, seq: number, address: string, nowMs: number): Verdict {
    const joinsMidway = seq >= SEQUENCE_WINDOW || sender.windows.some(({ life }) => life.epoch === epoch)
    this.totals.strays += sender.open(new Life(epoch, joinsMidway ? seq : 0, seq, nowMs), address, nowMs)
    return 'fresh'
  }

  /** A packet not seen before. */
  private accept (sender: Sender, life: Life, seq: number): Verdict {
    const { gaps, late } = life
    const verdict = life.accept(seq)
    if (life.isConfirmed) this.count(life.gaps - gaps, life.late - late)
    else if (life.awaitsConfirmation) this.confirm(sender, life)
    return verdict
  }

  private confirm (sender: Sender, life: Life): void {
    this.count(life.gaps, life.late)
    const before = sender.lifeBefore(life)
    if (before !== null) {
      this.count(life.mergeInto(before), 0)
      for (const window of sender.windows) if (window.life === life) window.life = before
      return
    }
    life.confirm()
    if (sender.isEstablished) {
      sender.restarts++
      this.totals.restarts++
      return
    }
    sender.establish()
    this.newcomers.delete(sender.name)
    this.established.set(sender.name, sender)
  }

  /** Keeps the sums exact integers, whatever numbers packets carry. */
  private count (gaps: number, late: number): void {
    this.totals.gaps = Math.min(this.totals.gaps + gaps, Number.MAX_SAFE_INTEGER)
    this.totals.late += late
  }

  private find (name: string): Sender | undefined {
    return this.established.get(name) ?? this.newcomers.get(name)
  }

  /** Finds or admits a sender, and makes it the one heard last. */
  private touch (name: string): Sender {
    const sender = this.find(name) ?? this.admit(name)
    const group = sender.isEstablished ? this.established : this.newcomers
    group.delete(name)
    group.set(name, sender)
    this.lastHeard = sender
    return sender
  }

  private admit (name: string): Sender {
    this.changed = true
    if (this.size < this.sendersMax) return new Sender(name)
    const group = this.newcomers.size > 0 ? this.newcomers : this.established
    const oldest = group.values().next().value
    if (oldest === undefined) return new Sender(name)
    group.delete(oldest.name)
    this.totals.evicted++
    oldest.recycle(name)
    return oldest
  }
}

function saveAll (group: ReadonlyMap<string, Sender>): SavedSender[] {
  return Array.from(group.values(), (sender) => sender.save())
}

function loadSender (saved: SavedSender): Sender {
  const sender = new Sender(saved.name)
  sender.load(saved)
  return sender
}

function hear (sender: Sender, at: number, nowMs: number): Window {
  if (at > 0) sender.toFront(at)
  const window = sender.windows[0] as Window
  window.heardMs = window.life.lastSeenMs = nowMs
  return window
}
