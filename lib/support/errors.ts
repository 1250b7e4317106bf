/**
 * All operating errors: what people and programs see when something is refused or fails.
 *
 * The key is the code on the wire and in logs. `status` is the HTTP status; `retryable` means that the unchanged
 * request may succeed later, and does no harm. Bugs have no code: they are thrown.
 */
import type { FaultDetail } from '../../protocol/faults.js'

export interface ErrorKind {
  readonly status: number
  readonly retryable: boolean
  /** What happened and what to do; the `message` of an OperatingError may be more specific. */
  readonly message: string
}

export const ERRORS = {
  invalid_json: { status: 400, retryable: false, message: 'The body is not valid JSON.' },
  invalid_msgpack: { status: 400, retryable: false, message: 'The body is not valid msgpack.' },
  invalid_point: {
    status: 400,
    retryable: false,
    message: 'At least one point is invalid; no point of the body was accepted.'
  },
  invalid_query: { status: 400, retryable: false, message: 'A query parameter is invalid.' },
  invalid_limits: { status: 400, retryable: false, message: 'The set of limits is invalid; nothing was changed.' },
  malformed_request: {
    status: 400,
    retryable: false,
    message: 'The request is not valid HTTP/1.1. Nothing was accepted, and the connection is closed.'
  },
  invalid_encoding: {
    status: 400,
    retryable: false,
    message: 'The body cannot be decompressed with its Content-Encoding.'
  },
  unauthorized: {
    status: 401,
    retryable: false,
    message: 'A valid token is required: send Authorization: Bearer <token>.'
  },
  token_expired: { status: 401, retryable: false, message: 'The token has expired; send a valid one.' },
  unsupported_transfer_encoding: {
    status: 400,
    retryable: false,
    message:
      'Transfer-Encoding must be chunked, without Content-Length; send compressed bodies with Content-Encoding: gzip.'
  },
  foreign_origin: {
    status: 403,
    retryable: false,
    message: 'Pages of other sites may not change anything here: the Origin of the request is neither its Host nor ' +
      'in ALLOWED_ORIGINS.'
  },
  forbidden: { status: 403, retryable: false, message: 'The token is valid, but none of its roles allows this.' },
  satellite_forbidden: {
    status: 403,
    retryable: false,
    message: 'The token does not allow points of a satellite in the body; no point of the body was accepted.'
  },
  too_many_satellites: {
    status: 403,
    retryable: false,
    message: 'The token may not send points of any more satellites; no point of the body was accepted.'
  },
  not_found: { status: 404, retryable: false, message: 'There is nothing at this path.' },
  method_not_allowed: {
    status: 405,
    retryable: false,
    message: 'This path does not support the method; see the Allow header.'
  },
  request_timeout: { status: 408, retryable: true, message: 'The request did not arrive in time.' },
  limits_changed: {
    status: 412,
    retryable: false,
    message: 'The limits have changed since they were read; read them again and reapply the change.'
  },
  length_required: { status: 411, retryable: false, message: 'Send Content-Length or Transfer-Encoding: chunked.' },
  body_too_large: {
    status: 413,
    retryable: false,
    message: 'The body is larger than MAX_BODY_BYTES; send smaller batches.'
  },
  unsupported_media_type: { status: 415, retryable: false, message: 'This Content-Type is not supported.' },
  unsupported_encoding: {
    status: 415,
    retryable: false,
    message: 'This Content-Encoding is not supported; send gzip or none.'
  },
  expectation_failed: { status: 417, retryable: false, message: 'The only supported Expect is 100-continue.' },
  precondition_required: {
    status: 428,
    retryable: false,
    message: 'Send If-Match with the version that the change is based on: the ETag of GET /limits.'
  },
  too_busy: {
    status: 429,
    retryable: true,
    message: 'More points or requests are pending than the soft limit allows; slow down and retry.'
  },
  rate_limited: {
    status: 429,
    retryable: true,
    message: 'This client sends more requests or points per second than allowed; slow down and retry.'
  },
  too_many_client_connections: {
    status: 429,
    retryable: true,
    message: 'This address has reached its limit of open connections; reuse one.'
  },
  head_too_large: {
    status: 431,
    retryable: false,
    message: 'The request line and headers are larger than 16 KB together; send fewer or shorter headers.'
  },
  overloaded: {
    status: 503,
    retryable: true,
    message: 'The server cannot buffer more points until the database catches up; send them again later.'
  },
  database_unavailable: { status: 503, retryable: true, message: 'The database cannot be reached.' },
  query_timeout: {
    status: 503,
    retryable: true,
    message: 'The database query timed out; ask for a shorter range.'
  },
  outcome_unknown: {
    status: 503,
    retryable: false,
    message: 'The points may or may not have been stored; sending them again may store them twice.'
  },
  spool_full: {
    status: 503,
    retryable: true,
    message: 'The spool is full; none of these points was accepted. Send them again later.'
  },
  spool_failed: {
    status: 503,
    retryable: false,
    message: 'Writing to disk failed; the points may or may not be stored, and sending them again may store them twice.'
  },
  log_unavailable: {
    status: 503,
    retryable: true,
    message: 'The replicated log is not answering; none of these points was accepted. Send them again later.'
  },
  log_unanswered: {
    status: 503,
    retryable: false,
    message: 'The replicated log did not answer in time; the points may or may not be stored, and sending them again ' +
      'may store them twice.'
  },
  too_many_connections: {
    status: 503,
    retryable: true,
    message: 'This process has reached its limit of connections (open files); reuse a connection, or raise `ulimit -n`.'
  },
  answers_unread: {
    status: 503,
    retryable: true,
    message: 'Too many large answers are waiting for clients to read them; retry later, or ask for less.'
  },
  too_many_streams: {
    status: 503,
    retryable: true,
    message: 'Too many clients are following live data; retry later.'
  },
  not_ready: { status: 503, retryable: true, message: 'The server is starting.' },
  shutting_down: {
    status: 503,
    retryable: true,
    message: 'The server is shutting down; use another one, or retry later.'
  },
  internal: {
    status: 500,
    retryable: true,
    message: 'The server failed to handle this request; see its log.'
  }
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

/** The code of a system error (ENOENT, EACCES, …), '' for any other. */
export function systemCode (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
