/**
 * A worker's way to answers that only the primary has. Bounded in time: a client is never left waiting for the primary.
 *
 * Anybody may ask, so questions are shared: of one question that changes nothing, one is under way at most, and all who
 * ask meanwhile get the answer to the next. So the primary hears as many questions as it can answer, not as many as
 * there are clients.
 */
import { ERRORS, type ErrorCode } from '../support/errors.js'
import type { AnomalySource, StreamStart } from '../ingress/http/api/anomaly-stream.js'
import type { DataPort, DataQuestion, SenderQuery, StatusAnswer, StatusPort } from '../ingress/http/api/status-port.js'
import type { Question, ToPrimary } from '../messages/messages.js'
import { SharedRound } from '../support/shared-round.js'

const ANSWER_TIMEOUT_MS = 2_000
/** Queries take their time, and wait for one another. */
const DATA_TIMEOUT_MS = 9_000
/** Different questions about limits, anomalies and senders without an answer: twice what the primary lets wait for the database. */
const WAITING_MAX = 32

function unanswered (code: ErrorCode, message: string): StatusAnswer {
  const { status } = ERRORS[code]
  return { status, contentType: 'application/json', headers: [['retry-after', '1']], body: JSON.stringify({ error: { code, message } }) + '\n' }
}

const NO_ANSWER = unanswered('not_ready', 'The primary process did not answer in time; what was asked for may still be carried out.')
const TOO_MANY = unanswered('too_busy', 'Too many requests wait for the primary process; send again later.')

export class PrimaryStatus implements StatusPort, DataPort, AnomalySource {
  private readonly waiting = new Map<number, (answer: StatusAnswer) => void>()
  private readonly starting = new Map<number, (start: StreamStart | null) => void>()
  private readonly rounds = new Map<string, SharedRound<StatusAnswer>>()
  private boundedCount = 0
  private nextId = 1

  constructor (private readonly send: (message: ToPrimary) => void) {}

  async health (): Promise<StatusAnswer> {
    return await this.share('health', async () => await this.question('health', ANSWER_TIMEOUT_MS))
  }

  async metrics (): Promise<StatusAnswer> {
    return await this.share('metrics', async () => await this.question('metrics', ANSWER_TIMEOUT_MS))
  }

  async ask (question: DataQuestion): Promise<StatusAnswer> {
    const ask = async (): Promise<StatusAnswer> => await this.bounded(question, DATA_TIMEOUT_MS)
    return 'value' in question ? await ask() : await this.share(JSON.stringify(question), ask)
  }

  async watch (lastEventId: string): Promise<StreamStart | null> {
    return await this.settled<StreamStart | null>(this.starting, ANSWER_TIMEOUT_MS, null, (id) => this.send({ type: 'watch', id, lastEventId }))
  }

  unwatch (): void {
    this.send({ type: 'unwatch' })
  }

  async senders (query: SenderQuery): Promise<StatusAnswer> {
    return await this.share(JSON.stringify(query), async () => await this.bounded(query, ANSWER_TIMEOUT_MS))
  }

  answered (id: number, answer: StatusAnswer): void {
    this.waiting.get(id)?.(answer)
  }

  watched (id: number, start: StreamStart): void {
    this.starting.get(id)?.(start)
  }

  /** One for all who ask the same. The answer was made after each of them asked. */
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

  /** Sends under a new id, and waits until that is settled; after the timeout the answer is `late`. */
  private async settled<T> (waiting: Map<number, (answer: T) => void>, timeoutMs: number, late: T, send: (id: number) => void): Promise<T> {
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
