/**
 * The senders of one key, and what became of their packets. Since they are authenticated, their numbers are believed:
 * there are no trials, one packet is enough for a restart or a jump, and a sender may change its address. What is
 * dropped is what may be a replay, however old the capture:
 *
 *   epoch below the sender's                                        stale
 *   epoch of the sender   in the window, seen                       duplicate
 *                         in the window, not seen                   late
 *                         below the window, or below its first      stale
 *                         above                                     fresh; the window advances by any number
 *   epoch above                                                     fresh: the sender was restarted
 *
 * So a sender's epoch must grow with each start. Dropped packets change no number of the sender's but their own count,
 * not even when it was last seen: anybody can send copies.
 *
 * Nothing may be forgotten in a way that lets replays in:
 *
 *   mark    the highest number of a sender, known from an earlier process; its next packet must be above. Numbers
 *           below that packet stay stale, because it is unknown which of them have arrived
 *   floor   the highest epoch of those removed to make room, longest silent first; an unknown sender must be above
 *
 * Bounded: SENDERS_PER_KEY_MAX senders of about 900 bytes and marks, for each key by itself. So the holder of one key
 * cannot make the server forget the senders of another.
 */
import { strict as assert } from 'node:assert'
import { Life, type SavedLife } from './life.js'
import type { SenderSummary, SequenceTotals, Verdict } from './senders.js'
import { SEQUENCE_WINDOW, Window, type SavedWindow } from './window.js'

export const SENDERS_PER_KEY_MAX = 100
/** Memory of one sender. */
export const KEYED_SENDER_BYTES = 900
/** A window of the table for all senders belongs to an address, of this one the sender. */
const ANY_ADDRESS = ''

/** The last number of a sender: any packet that is not above it may be a replay. */
export interface Mark {
  readonly epoch: number
  readonly highest: number
}

/** What a process that starts later must know. Little, but what arrives out of order meanwhile is lost. */
export interface SenderMarks {
  readonly floor: number
  readonly marks: ReadonlyArray<readonly [name: string, mark: Mark]>
}

interface SavedKeyedSender {
  readonly name: string
  readonly restarts: number
  readonly life: SavedLife
  readonly window: SavedWindow
}

/** A table as plain data, longest silent first; about 900 bytes a sender. */
export interface SavedKeyedSenders extends SenderMarks {
  readonly senders: readonly SavedKeyedSender[]
}

interface KeyedSender {
  readonly name: string
  restarts: number
  life: Life
  readonly window: Window
}

export class KeyedSenders {
  /** Longest silent first. */
  private readonly senders = new Map<string, KeyedSender>()
  private readonly marks = new Map<string, Mark>()
  /** -1: none was removed. */
  private floor = -1
  private lastHeard: KeyedSender | null = null

  /** @param totals of all senders, to which this adds */
  constructor (private readonly totals: SequenceTotals) {}

  /** Places an authentic packet in its sequence. 'fresh' and 'late' packets are to be accepted, the others dropped. */
  observe (name: string, epoch: number, seq: number, nowMs: number): Verdict {
    const sender = this.lastHeard?.name === name ? this.lastHeard : this.senders.get(name)
    if (sender === undefined) return this.admit(name, epoch, seq, nowMs)
    const { life, window } = sender
    if (epoch < life.epoch) return this.stale(life)
    if (epoch > life.epoch) {
      sender.restarts++
      this.totals.restarts++
      sender.life = this.begin(epoch, seq, nowMs, seq < SEQUENCE_WINDOW ? 0 : seq)
      window.open(sender.life, ANY_ADDRESS)
      this.touch(sender)
      return 'fresh'
    }
    if (seq < window.first || seq <= window.highest - SEQUENCE_WINDOW) return this.stale(life)
    if (seq <= window.highest && window.has(seq)) {
      life.duplicates++
      this.totals.duplicates++
      return 'duplicate'
    }
    if (seq > window.highest) window.leap(seq)
    else window.mark(seq)
    life.lastSeenMs = nowMs
    this.touch(sender)
    const { gaps, late } = life
    const verdict = life.accept(seq)
    this.count(life.gaps - gaps, life.late - late)
    return verdict
  }

  get size (): number {
    return this.senders.size
  }

  names (): string[] {
    return [...this.senders.keys()]
  }

  /** @param key the id of the key */
  summary (name: string, key: string): SenderSummary[] {
    const sender = this.senders.get(name)
    if (sender === undefined) return []
    return [{ sender: name, key, ...sender.life.summary(), restarts: sender.restarts, other_lives: [] }]
  }

  /** For a process that takes over. */
  save (): SavedKeyedSenders {
    const { floor, marks } = this
    const senders = Array.from(this.senders.values(), ({ name, restarts, life, window }) => (
      { name, restarts, life: life.save(), window: window.save() }))
    return { floor, marks: [...marks], senders }
  }

  /** Replaces marks by what another process knew; only before the first packet. */
  load ({ floor, marks, senders }: SavedKeyedSenders): void {
    assert(this.senders.size === 0, 'only an empty table takes over')
    this.marks.clear()
    this.restore({ floor, marks })
    for (const { name, restarts, life: saved, window } of senders) {
      const life = Life.load(saved)
      this.marks.delete(name)
      this.senders.set(name, { name, restarts, life, window: Window.load(life, window) })
    }
  }

  /** For a process that starts later. */
  saveMarks (): SenderMarks {
    const heard = Array.from(this.senders.values(), ({ name, life: { epoch, highest } }) => (
      [name, { epoch, highest }] as const))
    return { floor: this.floor, marks: [...this.marks, ...heard] }
  }

  /** Adds marks; of two for one sender the higher one counts. */
  restore ({ floor, marks }: SenderMarks): void {
    this.floor = Math.max(this.floor, floor)
    for (const [name, mark] of marks) {
      const known = this.marks.get(name)
      if (known === undefined || isAbove(mark, known)) this.marks.set(name, mark)
    }
    while (this.senders.size + this.marks.size > SENDERS_PER_KEY_MAX) this.forget()
  }

  private admit (name: string, epoch: number, seq: number, nowMs: number): Verdict {
    const mark = this.marks.get(name)
    if (mark === undefined ? epoch <= this.floor : !isAbove({ epoch, highest: seq }, mark)) {
      this.totals.stale++
      return 'stale'
    }
    this.marks.delete(name)
    if (this.senders.size + this.marks.size >= SENDERS_PER_KEY_MAX) this.forget()
    const life = this.begin(epoch, seq, nowMs, seq >= SEQUENCE_WINDOW || mark?.epoch === epoch ? seq : 0)
    const window = new Window(life, ANY_ADDRESS).open(life, ANY_ADDRESS)
    const sender = { name, restarts: 0, life, window }
    this.senders.set(name, sender)
    this.lastHeard = sender
    return 'fresh'
  }

  private begin (epoch: number, seq: number, nowMs: number, first: number): Life {
    const life = new Life(epoch, first, seq, nowMs)
    life.confirm()
    this.count(life.gaps, 0)
    return life
  }

  private stale (life: Life): Verdict {
    life.stale++
    this.totals.stale++
    return 'stale'
  }

  private touch (sender: KeyedSender): void {
    if (this.lastHeard === sender) return
    this.senders.delete(sender.name)
    this.senders.set(sender.name, sender)
    this.lastHeard = sender
  }

  /** Removes the oldest mark, or else the sender silent for longest. */
  private forget (): void {
    const [mark] = this.marks
    const [oldest] = this.senders.values()
    if (mark !== undefined) {
      this.marks.delete(mark[0])
      this.floor = Math.max(this.floor, mark[1].epoch)
    } else if (oldest !== undefined) {
      this.senders.delete(oldest.name)
      this.floor = Math.max(this.floor, oldest.life.epoch)
      this.totals.evicted++
      if (this.lastHeard === oldest) this.lastHeard = null
    }
  }

  /** Keeps the sums exact integers, whatever numbers packets carry. */
  private count (gaps: number, late: number): void {
    this.totals.gaps = Math.min(this.totals.gaps + gaps, Number.MAX_SAFE_INTEGER)
    this.totals.late += late
  }
}

function isAbove (one: Mark, other: Mark): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.highest > other.highest)
}
