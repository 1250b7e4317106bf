/**
 * GET /udp/senders: the senders of all UDP workers as one list, by name, paged.
 *
 * A page of the whole begins somewhere in each worker's list, so each is asked for as many of its first senders as
 * could stand before the page's end. A worker that does not answer in time makes the answer a 503: a list without its
 * senders would be taken for the whole.
 *
 * Anybody may ask, and making a list holds up receiving: so pages are asked for one after another, with a pause that is as
 * long as what was asked for is large.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { ERRORS, type ErrorCode } from '../../support/errors.js'
import type { SenderQuery, StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { SenderPage } from '../../ingress/udp/senders.js'
import type { Slot } from '../slots.js'

/** Below the time after which a worker answers its client by itself. */
const ANSWER_TIMEOUT_MS = 1_500
/** After every thousand senders that a worker was asked for: they take it some two. */
const PAUSE_MS = 50
/** Pages that wait their turn: of a thousand senders each, these take 800 ms. */
const WAITING_MAX = 16

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
  private waiting = 0
  private turn: Promise<void> = Promise.resolve()

  constructor (private readonly options: SenderPagesOptions) {}

  /** @param slots all UDP workers; one that is not ready has nobody to ask */
  async answer (slots: readonly Slot[], query: SenderQuery): Promise<StatusAnswer> {
    if (this.waiting >= WAITING_MAX) return errorAnswer('too_busy', 'Too many requests for senders wait; ask again later.')
    this.waiting++
    const asked = slots.length > 1 ? { ...query, offset: 0, limit: query.offset + query.limit } : query
    const turn = this.turn.then(async () => await this.gather(slots, asked)).finally(() => { this.waiting-- })
    this.turn = turn.then(async (pages) => {
      const senders = Math.max(...Array.from(pages.values(), (page) => page.senders.length))
      // One sender by its name costs nothing.
      if (query.sender === null) await wait(PAUSE_MS * Math.max(1, senders / 1_000))
    })
    const pages = await turn
    if (pages.size < slots.length) return errorAnswer('not_ready', `${slots.length - pages.size} of ${slots.length} UDP workers did not answer; ask again.`)
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

function errorAnswer (code: ErrorCode, message: string): StatusAnswer {
  return { status: ERRORS[code].status, contentType: 'application/json', headers: [['retry-after', '1']], body: JSON.stringify({ error: { code, message } }) + '\n' }
}
