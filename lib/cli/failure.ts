/** How a failed command is reported. */
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'

/** Operating errors (system, database, error table) carry a code; bugs do not. */
function isOperating (error: Error): boolean {
  const code = systemCode(error)
  return error instanceof StartupError || (code !== '' && !code.startsWith('ERR_'))
}

/** The message of an operating error; the stack of a bug. */
export function describeFailure (error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`
  if (!isOperating(error)) return `error: ${error.stack ?? error.message}`
  // That of several attempts to connect has no message.
  return `error: ${error.message === '' ? systemCode(error) : error.message}`
}
