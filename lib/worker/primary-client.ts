/**
 * A worker's way to ask the primary. Every answer has a deadline, so no client is ever left waiting for the primary.
 *
 * Any client may ask, so read-only questions are shared: at most one of each is in flight, and everyone who asks
 * meanwhile gets the answer to the next. So the primary gets as many questions as it can answer, however many clients
 * ask.
 */
import type { AnomalySource, StreamStart } from '../ingress/http/live/anomaly-stream.js'
import type { DataPort, DataQuestion, SenderQuery, StatusAnswer, StatusPort } from '../ingress/http/api/status-port.js'
import { errorAnswer } from '../ingress/http/engines/answers.js'
import type { Question, ToPrimary } from '../messages/messages.js'
import { SharedRound } from '../support/shared-round.js'

const ANSWER_TIMEOUT_MS = 2_000
/** Database queries take longer and queue up. */
export const DATA_TIMEOUT_MS = 9_000
/** Unanswered questions about limits, anomalies and senders: twice the primary's queue for the database. */
const WAITING_MAX = 32

const NO_ANSWER = errorAnswer('not_ready', {
  message: 'The primary process did not answer in time; the request may still be carried out.'
})
const TOO_MANY = errorAnswer('too_busy', { message: 'Too many queued requests for the primary process; retry later.' })

export class PrimaryClient implements StatusPort, DataPort, AnomalySource {
  private readonly waiting = new Map<number, (answer: StatusAnswer) => void>()
  private readonly starting = new Map<number, (start: StreamStart | null) => void>()
  private readonly leasing = new Map<number, (granted: boolean) => void>()
  private readonly rounds = new Map<string, SharedRound<StatusAnswer>>()
  private boundedCount = 0
  private nextId = 1

  constructor (private readonly send: (message: ToPrimary) => void) {}

  async health (): Promise<StatusAnswer> {
    return await this.share('health', async () => await this.question({ kind: 'health' }, ANSWER_TIMEOUT_MS))
  }

  async metrics (): Promise<StatusAnswer> {
    return await this.share('metrics', async () => await this.question({ kind: 'metrics' }, ANSWER_TIMEOUT_MS))
  }

  async senders (query: SenderQuery): Promise<StatusAnswer> {
    const ask = async (): Promise<StatusAnswer> => await this.bounded({ kind: 'senders', query }, ANSWER_TIMEOUT_MS)
    return await this.share(JSON.stringify(query), ask)
  }

  async ask (question: DataQuestion): Promise<StatusAnswer> {
    const ask = async (): Promise<StatusAnswer> => await this.bounded(question, DATA_TIMEOUT_MS)
    // A question with a value is a change: never shared.
    return 'value' in question ? await ask() : await this.share(JSON.stringify(question), ask)
  }

  async watch (lastEventId: string): Promise<StreamStart | null> {
    const send = (id: number): void => this.send({ type: 'watch', id, lastEventId })
    return await this.settled<StreamStart | null>(this.starting, ANSWER_TIMEOUT_MS, null, send)
  }

  unwatch (): void {
    this.send({ type: 'unwatch' })
  }

  /** Whether an export may begin; then endLease() must follow. */
  async lease (): Promise<boolean> {
    return await this.settled(this.leasing, ANSWER_TIMEOUT_MS, false, (id) => this.send({ type: 'lease?', id }))
  }

  endLease (): void {
    this.send({ type: 'lease-over' })
  }

  leased (id: number, granted: boolean): void {
    const settle = this.leasing.get(id)
    if (settle !== undefined) settle(granted)
    else if (granted) this.endLease()
  }

  answered (id: number, answer: StatusAnswer): void {
    this.waiting.get(id)?.(answer)
  }

  watched (id: number, start: StreamStart): void {
    this.starting.get(id)?.(start)
  }

  /** One question for everyone who asks the same. The answer is made after each of them asked. */
  private async share (key: string, ask: () => Promise<StatusAnswer>): Promise<StatusAnswer> {
    const round = this.rounds.get(key) ?? new SharedRound(ask, 0)
    this.rounds.set(key, round)
    const answer = await round.get()
    if (round.idle && this.rounds.get(key) === round) this.rounds.delete(key)
    return answer
  }

  private async bounded (question: Question, timeoutMs: number): Promise<StatusAnswer> {
    if (this.boundedCount >= WAITING_MAX) return TOO_MANY
    this.boundedCount++
    try {
      return await this.question(question, timeoutMs)
    } finally {
      this.boundedCount--
    }
  }

  private async question (question: Question, timeoutMs: number): Promise<StatusAnswer> {
    return await this.settled(this.waiting, timeoutMs, NO_ANSWER, (id) => this.send({ type: 'ask', id, question }))
  }

  /** Sends with a new id and resolves with the reply, or with `late` after the timeout. */
  private async settled<T> (
    waiting: Map<number, (answer: T) => void>, timeoutMs: number, late: T, send: (id: number) => void
  ): Promise<T> {
    const id = this.nextId++
    return await new Promise((resolve) => {
      const settle = (answer: T): void => {
        clearTimeout(timer)
        waiting.delete(id)
        resolve(answer)
      }
      const timer = setTimeout(() => settle(late), timeoutMs)
      waiting.set(id, settle)
      send(id)
    })
  }
}
