/**
 * Refusals by an engine itself, before a request reaches the routes: heads that are not HTTP or leave the end of the
 * request ambiguous, and connections over the limit. The answer is a JSON error like any other, and always closes the
 * connection.
 */
import { STATUS_CODES } from 'node:http'
import { errorAnswer } from './answers.js'
import type { Headers, RefusalCode } from './engine.js'

interface Refusal {
  readonly status: number
  readonly headers: Headers
  /** Ends with CRLF. */
  readonly body: string
}

export function refusalOf (code: RefusalCode): Refusal {
  const { status, contentType, headers, body } = errorAnswer(code)
  return { status, headers: [['content-type', contentType], ...headers], body: body.trimEnd() + '\r\n' }
}

/**
 * A refusal as raw HTTP, without the leading `HTTP/1.1 `.
 * @param bytesMin the body is padded to this with spaces before its CRLF
 */
export function refusalText (code: RefusalCode, bytesMin = 0): string {
  const { status, headers, body } = refusalOf(code)
  const padded = body.trimEnd().padEnd(bytesMin) + '\r\n'
  const lines = [...headers, ['connection', 'close'], ['content-length', String(Buffer.byteLength(padded))]]
  const head = lines.map((line) => line.join(': ')).join('\r\n')
  return `${status} ${String(STATUS_CODES[status])}\r\n${head}\r\n\r\n${padded}`
}
