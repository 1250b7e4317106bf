/**
 * GET /udp/senders: the senders of all UDP workers as one sorted, paged list.
 *
 * A page may start anywhere in each worker's list, so each worker is asked for as many of its first senders as could
 * precede the end of the page. If a worker does not answer in time, the answer is a 503: a list without its senders
 * would pass for the complete one.
 *
 * Any client may ask, and building a list delays receiving. So pages are gathered one at a time, with a pause in
 * proportion to the size of the one before.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { SenderQuery, StatusAnswer } from '../../ingress/http/api/status-port.js'
import type { SenderPage } from '../../ingress/udp/senders.js'
import { errorAnswer, jsonAnswer } from '../../ingress/http/engines/answers.js'
import type { Slot } from '../slots.js'

/** Shorter than a worker waits before it answers its client without the primary. */
const ANSWER_TIMEOUT_MS = 1_500
/** Per thousand senders requested from a worker, which take it about 2 ms. */
const PAUSE_MS = 50
/** Queued pages; with a thousand senders each they take 800 ms. */
const WAITING_MAX = 16

export interface SenderPagesOptions {
  readonly ask: (slot: Slot, id: number, query: SenderQuery) => void
}

interface Round {
  readonly pages: Map<Slot, SenderPage>
  readonly expected: number
  readonly settle: () => void
}

export class SenderPages {
  private readonly rounds = new Map<number, Round>()
  private nextId = 1
  private waiting = 0
  private turn: Promise<void> = Promise.resolve()

  constructor (private readonly options: SenderPagesOptions) {}

  /** @param slots all UDP workers; those that are not ready cannot answer */
  async answer (slots: readonly Slot[], query: SenderQuery): Promise<StatusAnswer> {
    if (this.waiting >= WAITING_MAX) {
      return errorAnswer('too_busy', { message: 'Too many queued requests for senders; retry later.' })
    }
    this.waiting++
    const asked = slots.length > 1 ? { ...query, offset: 0, limit: query.offset + query.limit } : query
    const turn = this.turn.then(async () => await this.gather(slots, asked)).finally(() => { this.waiting-- })
    this.turn = turn.then(async (pages) => {
      const senders = Math.max(...Array.from(pages.values(), (page) => page.senders.length))
      // Looking up a single sender costs nothing.
      if (query.sender === null) await wait(PAUSE_MS * Math.max(1, senders / 1_000))
    })
    const pages = await turn
    if (pages.size < slots.length) {
      const message = `${slots.length - pages.size} of ${slots.length} UDP workers did not answer; retry.`
      return errorAnswer('not_ready', { message })
    }
    return jsonAnswer(this.merge(pages, query))
  }

  /** Takes a worker's page; pages of a round that is over are dropped. */
  received (slot: Slot, id: number, page: SenderPage): void {
    const round = this.rounds.get(id)
    if (round === undefined) return
    round.pages.set(slot, page)
    if (round.pages.size === round.expected) round.settle()
  }

  private async gather (slots: readonly Slot[], query: SenderQuery): Promise<Map<Slot, SenderPage>> {
    const pages = new Map<Slot, SenderPage>()
    const ready = slots.filter(({ state }) => state === 'ready')
    if (ready.length < slots.length || ready.length === 0) return pages
    const id = this.nextId++
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.rounds.delete(id)
        resolve()
      }
      const timer = setTimeout(settle, ANSWER_TIMEOUT_MS)
      this.rounds.set(id, { pages, expected: ready.length, settle })
      for (const slot of ready) this.options.ask(slot, id, query)
    })
    return pages
  }

  private merge (pages: ReadonlyMap<Slot, SenderPage>, { offset, limit }: SenderQuery): object {
    const all = [...pages].flatMap(([slot, { senders }]) => {
      const port = slot.listener.port
      return senders.map((sender) => ({ ...sender, port }))
    })
    const total = [...pages.values()].reduce((sum, page) => sum + page.total, 0)
    if (pages.size <= 1) return { total, offset, limit, senders: all }
    all.sort((left, right) => left.sender < right.sender ? -1 : left.sender > right.sender ? 1 : left.port - right.port)
    return { total, offset, limit, senders: all.slice(offset, offset + limit) }
  }
}
