/** The error table is consistent and has no unused codes. */
import t from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import { ERRORS, OperatingError } from '../../../lib/support/errors.js'
import type { ErrorCode, ErrorKind } from '../../../lib/support/errors.js'

const ROOT = new URL('../../../../', import.meta.url)
const entries = Object.entries(ERRORS) as Array<[ErrorCode, ErrorKind]>

function sources (): string {
  return ['lib/', 'protocol/'].flatMap(folder => {
    const files = readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })
    return files
      .filter(file => file.endsWith('.ts') && `${folder}${file}` !== 'lib/support/errors.ts')
      .map(file => readFileSync(new URL(folder + file, ROOT), 'utf8'))
  }).join('\n')
}

t.test('codes are snake_case, statuses exist, messages are sentences', t => {
  for (const [code, { status, message }] of entries) {
    t.match(code, /^[a-z]+(_[a-z]+)*$/)
    t.ok(STATUS_CODES[status] !== undefined && status >= 400, `${code}: ${status}`)
    t.match(message, /^[A-Z].*\.$/, code)
  }
  t.end()
})

/** Resent points may be stored twice. */
const MAY_BE_STORED: ReadonlySet<string> = new Set(['outcome_unknown', 'spool_failed', 'log_unanswered'])

t.test('retryable errors have statuses that clients retry, and vice versa', t => {
  for (const [code, { status, retryable }] of entries) {
    t.equal(retryable, ([408, 429].includes(status) || status >= 500) && !MAY_BE_STORED.has(code), code)
  }
  t.end()
})

t.test('messages are unique', t => {
  t.equal(new Set(entries.map(([, { message }]) => message)).size, entries.length)
  t.end()
})

t.test('every code is used', t => {
  const text = sources()
  for (const [code] of entries) t.ok(text.includes(`'${code}'`), code)
  t.end()
})

t.test('an operating error has the message of the table, or a more specific one', t => {
  t.match(new OperatingError('overloaded'), {
    name: 'OperatingError',
    code: 'overloaded',
    message: ERRORS.overloaded.message,
    details: undefined
  })
  const cause = new Error('below')
  const details = [{ index: 1, field: 'time', message: 'is not a time' }]
  t.match(new OperatingError('invalid_point', 'Point 1 is wrong.', details, { cause }), {
    message: 'Point 1 is wrong.',
    details,
    cause
  })
  t.end()
})
