/** What is said when a command fails. */
import { StartupError } from '../support/startup-error.js'

/** Errors of the operating system, the database and the table of errors carry a code; the program's own faults do not. */
function isOperating (error: Error): boolean {
  return error instanceof StartupError || ('code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_'))
}

/** The message of an operating error; all of an error that is a fault of the program. */
export function describeFailure (error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`
  return `error: ${isOperating(error) ? error.message : error.stack ?? error.message}`
}
