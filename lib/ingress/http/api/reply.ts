/**
 * Every answer of the routes, counted: one style of JSON errors, and acceptances that are prepared once.
 */
import { ERRORS } from '../../../support/errors.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { FaultDetail } from '../../../../protocol/faults.js'
import type { Satellite } from '../../../../protocol/satellites.js'
import type { Headers, HttpExchange } from '../engines/engine.js'
import type { RouteCounters } from './counters.js'
import type { StatusAnswer } from './status-port.js'

/** Seconds that a client should wait where nobody knows better. */
const RETRY_AFTER_SECONDS = 1
const JSON_HEADERS: Headers = [['content-type', 'application/json']]

/** What an error answer may say beyond its code. */
export interface ErrorExtras {
  /** Instead of the message of the table. */
  readonly message?: string | undefined
  readonly details?: readonly FaultDetail[] | undefined
  readonly retryAfterSeconds?: number
  readonly headers?: Headers
}

export function reply (exchange: HttpExchange, counters: RouteCounters, status: number, headers: Headers, body: string): void {
  if (exchange.aborted) counters.aborted++
  else if (status < 400) counters.ok++
  else if (status < 500) counters.clientError++
  else counters.serverError++
  exchange.reply(status, headers, body)
}

export function replyAccepted (exchange: HttpExchange, counters: RouteCounters, body: string): void {
  reply(exchange, counters, 202, JSON_HEADERS, body)
}

/** An answer that was made elsewhere. */
export function replyAnswer (exchange: HttpExchange, counters: RouteCounters, answer: StatusAnswer): void {
  reply(exchange, counters, answer.status, [['content-type', answer.contentType], ...answer.headers ?? []], answer.body)
}

export function replyJson (exchange: HttpExchange, counters: RouteCounters, value: unknown): void {
  reply(exchange, counters, 200, JSON_HEADERS, JSON.stringify(value) + '\n')
}

export function replyError (exchange: HttpExchange, counters: RouteCounters, code: ErrorCode, extras: ErrorExtras = {}): void {
  const { status, retryable, message } = ERRORS[code]
  const error = { code, message: extras.message ?? message, ...extras.details === undefined ? {} : { details: extras.details } }
  const headers = [...JSON_HEADERS, ...extras.headers ?? []]
  if (retryable) headers.push(['retry-after', String(extras.retryAfterSeconds ?? RETRY_AFTER_SECONDS)])
  reply(exchange, counters, status, headers, JSON.stringify({ error }) + '\n')
}

/** Bodies of the answer to one point, one per satellite: JSON.stringify escapes what an id may hold. */
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
