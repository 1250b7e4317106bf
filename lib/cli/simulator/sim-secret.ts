/**
 * A secret to send to a server: from an option, the first line of a file, or a variable. The command line is visible to
 * all users of the machine; files and the environment are not.
 */
import { readFileSync } from 'node:fs'
import { TOKEN_VARIABLE } from '../../config/settings.js'

export interface SecretSource {
  /** Without dashes. The option for the file has `-file` after it. */
  readonly option: string
  readonly variable: string
  /** What it must be, for messages; null: it is that. */
  readonly problemOf: (text: string) => string | null
}

export type ReadSecret = { readonly text: string | null } | { readonly problem: string }

/** The token to send to a server. */
export const TOKEN: SecretSource = {
  option: 'token',
  variable: TOKEN_VARIABLE,
  problemOf: (text) => /^[\x21-\x7e]+$/.test(text) ? null : 'must consist of visible ASCII characters'
}

/** Messages name the source, and never repeat the secret. @param variable value of the variable */
export function readSecret (
  { option, variable: name, problemOf }: SecretSource, given: string | undefined, file: string | undefined,
  variable = process.env[name]
): ReadSecret {
  const checked = (text: string, source: string): ReadSecret => {
    const problem = text === '' ? 'is empty' : problemOf(text)
    return problem === null ? { text } : { problem: `${source}: ${problem}` }
  }
  if (given !== undefined && file !== undefined) {
    return { problem: `--${option} and --${option}-file are mutually exclusive` }
  }
  if (given !== undefined) return checked(given, `--${option}`)
  // Compose sets unset variables to the empty string.
  if (file === undefined) return variable === undefined || variable === '' ? { text: null } : checked(variable, name)
  try {
    return checked(readFileSync(file, 'utf8').split('\n', 1)[0]?.trim() ?? '', `--${option}-file`)
  } catch (error) {
    return { problem: `--${option}-file: ${(error as Error).message}` }
  }
}
