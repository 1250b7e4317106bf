/**
 * What an engine refuses by itself, before there is a request for the routes: heads that are not HTTP, or that leave in
 * doubt where the request ends; connections beyond the bound. The answer is the JSON error of all others, and always
 * closes its connection.
 */
import { STATUS_CODES } from 'node:http'
import { ERRORS } from '../../../support/errors.js'
import type { ErrorCode } from '../../../support/errors.js'
import type { Headers } from './engine.js'

export const REFUSALS = [
  'malformed_request', 'unsupported_transfer_encoding', 'request_timeout', 'body_too_large', 'expectation_failed',
  'head_too_large', 'too_many_connections'
] as const satisfies readonly ErrorCode[]

export type RefusalCode = typeof REFUSALS[number]

/** The answer to what is refused. The body ends with a line break. */
export function refusalOf (code: RefusalCode): { readonly status: number, readonly headers: Headers, readonly body: string } {
  const { status, retryable, message } = ERRORS[code]
  const headers: Array<Headers[number]> = [['content-type', 'application/json']]
  if (retryable) headers.push(['retry-after', '1'])
  return { status, headers, body: `${JSON.stringify({ error: { code, message } })}\r\n` }
}

/**
 * The same as it goes over the wire, without `HTTP/1.1 ` at its front.
 * @param bytesMin spaces before the last line break fill it up to this
 */
export function refusalText (code: RefusalCode, bytesMin = 0): string {
  const { status, headers, body } = refusalOf(code)
  const filled = body.trimEnd().padEnd(bytesMin) + '\r\n'
  const lines = [...headers, ['connection', 'close'], ['content-length', String(Buffer.byteLength(filled))]].map((header) => header.join(': '))
  return `${status} ${String(STATUS_CODES[status])}\r\n${lines.join('\r\n')}\r\n\r\n${filled}`
}
