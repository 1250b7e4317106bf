/**
 * The token that a program sends to a server: of --token, of the first line of --token-file, or of the variable API_TOKEN.
 * The command line is seen by everybody on the machine; file and environment are not.
 */
import { readFileSync } from 'node:fs'
import { TOKEN_VARIABLE } from '../config/config.js'

export type ReadToken = { readonly token: string | null } | { readonly problem: string }

export function readToken (token: string | undefined, file: string | undefined, variable: string | undefined): ReadToken {
  if (token !== undefined && file !== undefined) return { problem: '--token and --token-file are both given' }
  if (token !== undefined) return checked(token, '--token')
  if (file !== undefined) return readTokenFile(file)
  // Empty as Compose makes it of a variable that is not set.
  return variable === undefined || variable === '' ? { token: null } : checked(variable, TOKEN_VARIABLE)
}

function readTokenFile (file: string): ReadToken {
  try {
    return checked(readFileSync(file, 'utf8').split('\n', 1)[0]?.trim() ?? '', '--token-file')
  } catch (error) {
    return { problem: `--token-file: ${(error as Error).message}` }
  }
}

/** The message never repeats the token. */
function checked (token: string, source: string): ReadToken {
  if (/^[\x21-\x7e]+$/.test(token)) return { token }
  return { problem: `${source}: ${token === '' ? 'there is no token' : 'only visible ASCII characters are possible'}` }
}
