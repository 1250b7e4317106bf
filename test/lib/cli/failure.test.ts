/** Failures of commands: a sentence for operating errors, a stack for bugs. */
import t from 'tap'
import { readFile } from 'node:fs/promises'
import { describeFailure } from '../../../lib/cli/failure.js'
import { OperatingError } from '../../../lib/support/errors.js'
import { StartupError } from '../../../lib/support/startup-error.js'

t.test('operating errors are one sentence', async t => {
  t.equal(describeFailure(new StartupError('The data directory is in use.')), 'error: The data directory is in use.')
  t.equal(
    describeFailure(new OperatingError('database_unavailable', 'The database cannot be reached: refused')),
    'error: The database cannot be reached: refused'
  )
  const nobody = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' })
  t.equal(describeFailure(nobody), 'error: ECONNREFUSED')
  const missing = await readFile('/nowhere/at/all').catch((error: unknown) => error)
  t.equal(describeFailure(missing), "error: ENOENT: no such file or directory, open '/nowhere/at/all'")
})

t.test('bugs show where they happened', t => {
  t.match(
    describeFailure(new TypeError('x is not a function')),
    /^error: TypeError: x is not a function\n +at .*failure\.test/
  )
  const argument = Object.assign(new TypeError('wrong'), { code: 'ERR_INVALID_ARG_TYPE' })
  t.match(describeFailure(argument), /\n +at /)
  t.equal(describeFailure(Object.assign(new Error('bare'), { stack: undefined })), 'error: bare')
  t.equal(describeFailure('text'), 'error: text')
  t.end()
})
