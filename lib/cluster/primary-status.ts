/** A worker's way to answers that only the primary has. Bounded in time: a client is never left waiting for the primary. */
import { ERRORS, type ErrorCode } from '../errors.js'
import type { AnomalySource, StreamStart } from '../ingress/http/anomaly-stream.js'
import type { DataPort, DataQuestion, SenderQuery, StatusAnswer, StatusPort } from '../ingress/http/status-port.js'
import type { Question, ToPrimary } from './messages.js'

const ANSWER_TIMEOUT_MS = 2_000
/** Queries take their time, and wait for one another. */
const DATA_TIMEOUT_MS = 9_000
/** Questions without an answer. */
const WAITING_MAX = 1_000

function unanswered (code: ErrorCode, message: string): StatusAnswer {
  const { status } = ERRORS[code]
  return { status, contentType: 'application/json', headers: [['retry-after', '1']], body: JSON.stringify({ error: { code, message } }) + '\n' }
}

const NO_ANSWER = unanswered('not_ready', 'The primary process did not answer in time; what was asked for may still be carried out.')
const TOO_MANY = unanswered('too_busy', 'Too many requests wait for the primary process; send again later.')

export class PrimaryStatus implements StatusPort, DataPort, AnomalySource {
  private readonly waiting = new Map<number, (answer: StatusAnswer) => void>()
  private readonly starting = new Map<number, (start: StreamStart | null) => void>()
  private nextId = 1

  constructor (private readonly send: (message: ToPrimary) => void) {}

  async health (): Promise<StatusAnswer> {
    return await this.question('health', ANSWER_TIMEOUT_MS)
  }

  async metrics (): Promise<StatusAnswer> {
    return await this.question('metrics', ANSWER_TIMEOUT_MS)
  }

  async ask (question: DataQuestion): Promise<StatusAnswer> {
    return await this.question(question, DATA_TIMEOUT_MS)
  }

  async watch (lastEventId: string): Promise<StreamStart | null> {
    return await this.settled<StreamStart | null>(this.starting, ANSWER_TIMEOUT_MS, null, (id) => this.send({ type: 'watch', id, lastEventId }))
  }

  unwatch (): void {
    this.send({ type: 'unwatch' })
  }

  async senders (query: SenderQuery): Promise<StatusAnswer> {
    return await this.question(query, ANSWER_TIMEOUT_MS)
  }

  answered (id: number, answer: StatusAnswer): void {
    this.waiting.get(id)?.(answer)
  }

  watched (id: number, start: StreamStart): void {
    this.starting.get(id)?.(start)
  }

  private async question (question: Question, timeoutMs: number): Promise<StatusAnswer> {
    if (this.waiting.size >= WAITING_MAX) return TOO_MANY
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
