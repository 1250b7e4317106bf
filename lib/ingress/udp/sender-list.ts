/** Pages of all senders of a port, with and without keys, ordered by name and then by key. */
import type { KeyRing } from './key-ring.js'
import type { KeyedSenders } from './keyed-senders.js'
import { SORTED_AT_ONCE_MAX, SORTED_MS, type SenderPage, type SenderTable } from './senders.js'

/** Of the time of the process that receives, sorting takes no more than one part in so many. */
const SORTING_PARTS = 20

interface Entry {
  readonly name: string
  /** '': none. */
  readonly key: string
  readonly table: KeyedSenders | null
}

export class SenderList {
  /** Sorted some time ago, if there are more than SORTED_AT_ONCE_MAX. */
  private entries: readonly Entry[] = []
  private sortAgainMs = -Infinity

  /** @param nowMs monotonic */
  constructor (
    private readonly senders: SenderTable, private readonly keys: KeyRing,
    private readonly nowMs: () => number = () => performance.now()
  ) {}

  /** @param name only senders of this name: one without a key, and one for each key; null: all */
  page (offset: number, limit: number, name: string | null): SenderPage {
    const { senders } = this
    if (name !== null) return this.pageOf(offset, limit, name)
    const keyed = this.keyedCount()
    if (keyed === 0) return senders.list(offset, limit)
    const isSmall = senders.size + keyed <= SORTED_AT_ONCE_MAX
    if (isSmall || this.nowMs() >= this.sortAgainMs) this.sort()
    const { entries } = this
    const page = entries.slice(offset, offset + limit).flatMap(({ name: each, key, table }) => (
      table === null ? senders.summary(each) : table.summary(each, key)))
    if (isSmall) this.entries = []
    return { total: entries.length, offset, senders: page }
  }

  private pageOf (offset: number, limit: number, name: string): SenderPage {
    const keyed = [...this.keys.heard()].sort(([a], [b]) => compare(a, b))
    const all = [
      ...this.senders.summary(name), ...keyed.flatMap(([key, table]) => table.summary(name, key))
    ]
    return { total: all.length, offset, senders: all.slice(offset, offset + limit) }
  }

  private keyedCount (): number {
    let count = 0
    for (const [, { size }] of this.keys.heard()) count += size
    return count
  }

  private sort (): void {
    const begunMs = this.nowMs()
    const keyed = [...this.keys.heard()].flatMap(([key, table]) => table.names().map((name) => ({ name, key, table })))
    this.entries = [...this.senders.names.map((name) => ({ name, key: '', table: null })), ...keyed]
      .sort((a, b) => compare(a.name, b.name) || compare(a.key, b.key))
    const endedMs = this.nowMs()
    this.sortAgainMs = endedMs + Math.max(SORTED_MS, (endedMs - begunMs) * SORTING_PARTS)
  }
}

function compare (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
