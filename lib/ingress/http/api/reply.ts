/** One request on its way through a route, and every way to answer it; answers are counted. */
import { OperatingError } from '../../../support/errors.js'
import { errorAnswer } from '../engines/answers.js'
import { CHUNKS_MAX, CHUNK_BYTES, TINY_CHUNKS_MAX, TINY_CHUNK_BYTES } from '../engines/body.js'
import { IDLE_MS } from '../engines/engine.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { Satellite } from '../../../../protocol/satellites.js'
import type { RouteCounters } from './counters.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { Headers, HttpExchange, HttpRequest } from '../engines/engine.js'
import type { StatusAnswer } from './status-port.js'
import type { Caller } from './tokens.js'
import type { Client } from '../clients/rates.js'

const JSON_HEADERS: Headers = [['content-type', 'application/json']]
const TOO_MANY_CHUNKS = {
  message: `The body has more than ${CHUNKS_MAX} chunks of less than ${CHUNK_BYTES} bytes, or more than ` +
    `${TINY_CHUNKS_MAX} of less than ${TINY_CHUNK_BYTES}; send larger ones.`
}

export class RouteCall {
  constructor (
    /** Valid only until the handler returns. */
    readonly request: HttpRequest,
    readonly exchange: HttpExchange,
    readonly counters: RouteCounters,
    /** The decoded texts in place of each `{…}` in the path of the route. */
    readonly parameters: readonly string[] = [],
    /** The sender, by its token; null if the route needs none. */
    readonly caller: Caller | null = null,
    /** Whose points are counted; null: nobody's. */
    readonly client: Client | null = null
  ) {}

  /** Reads the body. Failures are answered; an exception in onBody, which the router cannot catch, becomes a crash. */
  readBody (bytesMax: number, onBody: (body: Buffer) => void, tooLarge: ErrorExtras = {}): void {
    this.exchange.readBody(
      bytesMax,
      (body) => {
        try {
          onBody(body)
        } catch (error) {
          this.crash(error)
        }
      },
      (failure) => {
        if (failure === 'aborted') this.counters.aborted++
        else if (failure === 'too_many_chunks') this.fail('body_too_large', TOO_MANY_CHUNKS)
        else this.fail(failure, failure === 'body_too_large' ? tooLarge : {})
      })
  }

  reply (status: number, headers: Headers, body: string | Buffer): void {
    const { aborted } = this.exchange
    if (!this.exchange.reply(status, headers, body)) {
      this.fail('answers_unread', { retryAfterSeconds: IDLE_MS / 1000 })
      return
    }
    if (aborted) this.counters.aborted++
    else if (status < 400) this.counters.ok++
    else if (status < 500) this.counters.clientError++
    else this.counters.serverError++
  }

  accept (body: string): void {
    this.reply(202, JSON_HEADERS, body)
  }

  fail (code: ErrorCode, extras: ErrorExtras = {}): void {
    this.answer(errorAnswer(code, extras))
  }

  answer ({ status, contentType, headers = [], body }: StatusAnswer): void {
    this.reply(status, [['content-type', contentType], ...headers], body)
  }

  /** Passes on an answer once it is there. An OperatingError becomes an error answer, any other a crash. */
  answerWith (asked: Promise<StatusAnswer>): void {
    asked.then(
      (answer) => this.answer(answer),
      (error: unknown) => {
        if (error instanceof OperatingError) this.fail(error.code, { message: error.message })
        else this.crash(error)
      })
  }

  /** Answers 500, then ends the process with `error` once the answer was handed to the system. */
  crash (error: unknown): void {
    this.fail('internal')
    // Not nextTick: answers are corked until this turn of the event loop ends.
    setImmediate(() => { throw error })
  }
}

/** Prepares the answer to one point, once per satellite. JSON.stringify escapes ids. */
export class PointAnswers {
  private readonly bodies = new WeakMap<Satellite, string>()

  body (satellite: Satellite): string {
    let body = this.bodies.get(satellite)
    if (body === undefined) {
      body = JSON.stringify({ status: 'accepted', satellite_id: satellite.id })
      this.bodies.set(satellite, body)
    }
    return body
  }
}
