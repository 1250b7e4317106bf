/**
 * The one table of operating errors: what people and programs see when something is refused or fails.
 *
 * The key is the code on the wire and in logs. `status` is the HTTP status, `retryable` whether the
 * same request may succeed later without being changed, and does no harm. A programmer's error has no code: it is thrown.
 */
import type { FaultDetail } from '../../protocol/faults.js'

export interface ErrorKind {
  readonly status: number
  readonly retryable: boolean
  /** What happened and what to do; `message` of an OperatingError may say it with more detail. */
  readonly message: string
}

export const ERRORS = {
  invalid_json: { status: 400, retryable: false, message: 'The body is not valid JSON.' },
  invalid_msgpack: { status: 400, retryable: false, message: 'The body is not valid msgpack.' },
  invalid_point: { status: 400, retryable: false, message: 'At least one point is not valid; none of the body was taken.' },
  invalid_query: { status: 400, retryable: false, message: 'A query parameter is not valid.' },
  invalid_limits: { status: 400, retryable: false, message: 'The set of limits is not valid; nothing was changed.' },
  malformed_request: { status: 400, retryable: false, message: 'The request is not valid HTTP/1.1. Nothing of it was taken, and the connection is closed.' },
  invalid_encoding: { status: 400, retryable: false, message: 'The body does not unpack with the Content-Encoding that it names.' },
  unauthorized: { status: 401, retryable: false, message: 'A valid token is needed: send Authorization: Bearer <token>.' },
  token_expired: { status: 401, retryable: false, message: 'The token has expired; send one that has not.' },
  unsupported_transfer_encoding: { status: 400, retryable: false, message: 'Transfer-Encoding must be chunked alone, with no Content-Length beside it; a packed body has Content-Encoding: gzip.' },
  foreign_origin: { status: 403, retryable: false, message: 'A page of another site may not change anything here: the Origin of the request is neither its Host nor in ALLOWED_ORIGINS.' },
  forbidden: { status: 403, retryable: false, message: 'The token is valid, but has no role that allows this.' },
  satellite_forbidden: { status: 403, retryable: false, message: 'The token does not allow points of a satellite in the body; none of the body was taken.' },
  not_found: { status: 404, retryable: false, message: 'There is nothing at this path.' },
  method_not_allowed: { status: 405, retryable: false, message: 'This path does not take this method; the Allow header names those it takes.' },
  request_timeout: { status: 408, retryable: true, message: 'The request did not arrive in time.' },
  limits_changed: { status: 412, retryable: false, message: 'The limits were changed meanwhile; read them again, and make the change from there.' },
  length_required: { status: 411, retryable: false, message: 'Send Content-Length or Transfer-Encoding: chunked.' },
  body_too_large: { status: 413, retryable: false, message: 'The body is larger than MAX_BODY_BYTES; send smaller batches.' },
  unsupported_media_type: { status: 415, retryable: false, message: 'This Content-Type is not understood.' },
  unsupported_encoding: { status: 415, retryable: false, message: 'This Content-Encoding is not understood; send gzip or none.' },
  expectation_failed: { status: 417, retryable: false, message: 'The only Expect that can be met is 100-continue.' },
  precondition_required: { status: 428, retryable: false, message: 'Send If-Match with the version that the change was made from, as the ETag of GET /limits says it.' },
  too_busy: { status: 429, retryable: true, message: 'More points or requests are waiting than the soft bound allows; slow down and send again.' },
  head_too_large: { status: 431, retryable: false, message: 'The request line and headers are larger than 16 KB together; send fewer or shorter headers.' },
  overloaded: { status: 503, retryable: true, message: 'No room for more points until the database has caught up; send again later.' },
  database_unavailable: { status: 503, retryable: true, message: 'The database cannot be reached.' },
  query_timeout: { status: 503, retryable: true, message: 'The database did not answer the query in time; ask for a shorter range.' },
  outcome_unknown: { status: 503, retryable: false, message: 'The points may or may not have been stored; sending them again may store them twice.' },
  spool_full: { status: 503, retryable: true, message: 'No room on disk for more points; none of these was taken. Send them again later.' },
  spool_failed: { status: 503, retryable: false, message: 'Writing to disk failed; the points may or may not be stored, and sending them again may store them twice.' },
  too_many_connections: { status: 503, retryable: true, message: 'This process has as many connections as the limit on open files allows; keep one and send over it, or raise `ulimit -n`.' },
  not_ready: { status: 503, retryable: true, message: 'The server is starting.' },
  shutting_down: { status: 503, retryable: true, message: 'The server is shutting down; send to another one or again later.' },
  internal: { status: 500, retryable: true, message: 'The server failed while it handled this request; the log says why.' }
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

/** An operating error as a value: returned and passed to callbacks; thrown only across async boundaries. */
export class OperatingError extends Error {
  override readonly name = 'OperatingError'

  constructor (
    readonly code: ErrorCode,
    message: string = ERRORS[code].message,
    readonly details?: readonly FaultDetail[],
    options?: ErrorOptions
  ) {
    super(message, options)
  }
}
