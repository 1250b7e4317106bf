/** JSON answers, among them the one form of errors, with their status and headers. */
import { ERRORS } from '../../../support/errors.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { Headers, StatusAnswer } from './engine.js'

/** For Retry-After, unless a better value is known. */
const RETRY_AFTER_SECONDS = 1

/** What an error answer may add to its code. */
export interface ErrorExtras {
  /** Replaces the default message. */
  readonly message?: string | undefined
  readonly details?: readonly object[] | undefined
  readonly retryAfterSeconds?: number
  readonly headers?: Headers
}

export function jsonAnswer (value: object, headers: Headers = []): StatusAnswer {
  return { status: 200, contentType: 'application/json', headers, body: JSON.stringify(value) + '\n' }
}

/** A retryable error has Retry-After. */
export function errorAnswer (code: ErrorCode, extras: ErrorExtras = {}): StatusAnswer & { readonly headers: Headers } {
  const { status, retryable, message } = ERRORS[code]
  const details = extras.details === undefined ? {} : { details: extras.details }
  const error = { code, message: extras.message ?? message, ...details }
  const headers = [...extras.headers ?? []]
  if (retryable) headers.push(['retry-after', String(extras.retryAfterSeconds ?? RETRY_AFTER_SECONDS)])
  return { status, contentType: 'application/json', headers, body: JSON.stringify({ error }) + '\n' }
}
