/**
 * GET /udp/senders: the senders of all UDP workers as one list, by name, paged.
 *
 * A page of the whole begins somewhere in each worker's list, so each is asked for as many of its first senders as
 * could stand before the page's end. A worker that does not answer in time makes the answer a 503: a list without its
 * senders would be taken for the whole.
 */
import { ERRORS } from '../errors.js'
import type { SenderQuery, StatusAnswer } from '../ingress/http/status-port.js'
import type { SenderPage } from '../ingress/udp/senders.js'
import type { Slot } from './slots.js'

/** Below the time after which a worker answers its client by itself. */
const ANSWER_TIMEOUT_MS = 1_500

export interface SenderPagesOptions {
  readonly portOf: (slot: Slot) => number
  readonly ask: (slot: Slot, id: number, query: SenderQuery) => void
}

interface Asked {
  readonly pages: Map<Slot, SenderPage>
  readonly expected: number
  readonly settle: () => void
}

export class SenderPages {
  private readonly asked = new Map<number, Asked>()
  private nextId = 1

  constructor (private readonly options: SenderPagesOptions) {}

  /** @param slots all UDP workers; one that is not ready has nobody to ask */
  async answer (slots: readonly Slot[], query: SenderQuery): Promise<StatusAnswer> {
    const pages = await this.gather(slots, slots.length > 1 ? { ...query, offset: 0, limit: query.offset + query.limit } : query)
    if (pages.size < slots.length) {
      const message = `${slots.length - pages.size} of ${slots.length} UDP workers did not answer; ask again.`
      return { status: ERRORS.not_ready.status, contentType: 'application/json', body: JSON.stringify({ error: { code: 'not_ready', message } }) }
    }
    return { status: 200, contentType: 'application/json', body: JSON.stringify(this.merge(pages, query)) }
  }

  /** A worker has answered. */
  received (slot: Slot, id: number, page: SenderPage): void {
    const asked = this.asked.get(id)
    if (asked === undefined) return
    asked.pages.set(slot, page)
    if (asked.pages.size === asked.expected) asked.settle()
  }

  private async gather (slots: readonly Slot[], query: SenderQuery): Promise<Map<Slot, SenderPage>> {
    const pages = new Map<Slot, SenderPage>()
    const ready = slots.filter(({ state }) => state === 'ready')
    if (ready.length < slots.length || ready.length === 0) return pages
    const id = this.nextId++
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.asked.delete(id)
        resolve()
      }
      const timer = setTimeout(settle, ANSWER_TIMEOUT_MS)
      this.asked.set(id, { pages, expected: ready.length, settle })
      for (const slot of ready) this.options.ask(slot, id, query)
    })
    return pages
  }

  private merge (pages: ReadonlyMap<Slot, SenderPage>, { offset, limit }: SenderQuery): object {
    const all = [...pages].flatMap(([slot, { senders }]) => senders.map((sender) => ({ ...sender, port: this.options.portOf(slot) })))
    const total = [...pages.values()].reduce((sum, page) => sum + page.total, 0)
    if (pages.size <= 1) return { total, offset, limit, senders: all }
    all.sort((left, right) => left.sender < right.sender ? -1 : left.sender > right.sender ? 1 : left.port - right.port)
    return { total, offset, limit, senders: all.slice(offset, offset + limit) }
  }
}
