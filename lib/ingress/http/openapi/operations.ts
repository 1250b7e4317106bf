/** How an operation is written down: what is common to all of them is filled in here. */
import { ERRORS, type ErrorCode } from '../../../support/errors.js'
import type { Role } from '../../../access/token.js'
import { array, ref, type Schema } from './schemas.js'

type Content = Readonly<Record<string, Schema>>

export interface Operation {
  readonly id: string
  readonly tag: 'points' | 'telemetry' | 'limits' | 'anomalies' | 'server'
  readonly summary: string
  readonly description?: string
  /** Null: no token needed. */
  readonly role: Role | null
  readonly parameters?: readonly Schema[]
  readonly body?: Content
  readonly answers: Readonly<Record<number, { readonly description: string, readonly content: Content }>>
  /** Besides those that any operation may answer with. */
  readonly errors?: readonly ErrorCode[]
}

const TIMES = { type: ['string', 'number'], description: 'ISO 8601 with a time zone, or milliseconds since 1970.' }
const ANY_ERRORS: readonly ErrorCode[] = [
  'internal', 'too_many_connections', 'not_ready', 'answers_unread', 'head_too_large', 'malformed_request',
  'expectation_failed', 'unsupported_transfer_encoding'
]
const TOKEN_ERRORS: readonly ErrorCode[] = ['unauthorized', 'token_expired', 'forbidden', 'rate_limited']
const BODY_ERRORS: readonly ErrorCode[] = ['request_timeout', 'length_required', 'body_too_large', 'too_busy']
/** Answers of the primary process and the database. */
export const QUERY_ERRORS: readonly ErrorCode[] = [
  'invalid_query', 'too_busy', 'query_timeout', 'database_unavailable'
]

export const json = (schema: Schema): Content => ({ 'application/json': { schema } })
export const text = (type: string, description: string): Content => (
  { [type]: { schema: { type: 'string', description } } })

/** JSON, or the same as rows. */
export const rows = (schema: Schema): Content => ({
  ...json(schema), ...text('text/csv', 'A header, then rows.'), ...text('application/x-ndjson', 'One object per line.')
})

export function query (name: string, schema: Schema, description: string, required = false): Schema {
  return { name, in: 'query', schema, description, ...required ? { required } : {} }
}

export const timeQuery = (name: string, description: string, required = false): Schema => (
  query(name, TIMES, description, required))

export function header (name: string, description: string, required = false): Schema {
  return { name, in: 'header', schema: { type: 'string' }, description, ...required ? { required } : {} }
}

export function inPath (name: string, description: string): Schema {
  return { name, in: 'path', required: true, schema: { type: 'string', minLength: 1 }, description }
}

export function integer (minimum: number, maximum: number, byDefault: number): Schema {
  return { type: 'integer', minimum, maximum, default: byDefault }
}

/** A list in one parameter, separated by commas. */
export function listQuery (name: string, description: string): Schema {
  return { ...query(name, array({ type: 'string' }), description), style: 'form', explode: false }
}

/** The operation as an OpenAPI Operation Object. */
export function operationObject (operation: Operation): Schema {
  const { id, tag, summary, description, role, parameters = [], body, answers, errors = [] } = operation
  const codes = new Set([
    ...errors, ...body === undefined ? [] : [...BODY_ERRORS, 'foreign_origin' as const],
    ...role === null ? [] : TOKEN_ERRORS, ...ANY_ERRORS
  ])
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...description === undefined ? {} : { description },
    security: role === null ? [] : [{ bearer: [role] }, {}],
    ...parameters.length === 0 ? {} : { parameters },
    ...body === undefined ? {} : { requestBody: { required: true, content: body } },
    responses: { ...answers, ...errorResponses([...codes], Object.keys(answers).map(Number)) }
  }
}

/** By status. A status that is also an answer keeps its own content. */
function errorResponses (codes: readonly ErrorCode[], taken: readonly number[]): Record<string, Schema> {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of codes) {
    const { status } = ERRORS[code]
    if (!taken.includes(status)) byStatus.set(status, [...byStatus.get(status) ?? [], code])
  }
  return Object.fromEntries([...byStatus].sort(([a], [b]) => a - b).map(([status, ofStatus]) => [status, {
    description: ofStatus.map((code) => `\`${code}\`: ${ERRORS[code].message}`).join('\n\n'),
    ...ofStatus.some((code) => ERRORS[code].retryable)
      ? { headers: { 'Retry-After': { schema: { type: 'integer' }, description: 'Seconds.' } } }
      : {},
    content: json(ref('Error'))
  }]))
}
