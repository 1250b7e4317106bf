/** A worker's way to answers that only the primary has. Bounded in time: a client is never left waiting for the primary. */
import { ERRORS } from '../errors.js'
import type { StatusAnswer, StatusPort } from '../ingress/http/status-port.js'
import type { Question, ToPrimary } from './messages.js'

const ANSWER_TIMEOUT_MS = 2_000

const NO_ANSWER: StatusAnswer = {
  status: 503,
  contentType: 'application/json',
  body: JSON.stringify({ error: { code: 'not_ready', message: ERRORS.not_ready.message } })
}

export class PrimaryStatus implements StatusPort {
  private readonly waiting = new Map<number, (answer: StatusAnswer) => void>()
  private nextId = 1

  constructor (private readonly send: (message: ToPrimary) => void) {}

  async health (): Promise<StatusAnswer> {
    return await this.ask('health')
  }

  async metrics (): Promise<StatusAnswer> {
    return await this.ask('metrics')
  }

  answered (id: number, answer: StatusAnswer): void {
    this.waiting.get(id)?.(answer)
  }

  private async ask (question: Question): Promise<StatusAnswer> {
    const id = this.nextId++
    return await new Promise((resolve) => {
      const settle = (answer: StatusAnswer): void => {
        clearTimeout(timer)
        this.waiting.delete(id)
        resolve(answer)
      }
      const timer = setTimeout(() => settle(NO_ANSWER), ANSWER_TIMEOUT_MS)
      this.waiting.set(id, settle)
      this.send({ type: 'ask', id, question })
    })
  }
}
