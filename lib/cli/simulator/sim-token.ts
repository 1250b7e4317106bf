/**
 * The token to send to a server: from --token, the first line of --token-file, or the API_TOKEN variable. The command
 * line is visible to all users of the machine; files and the environment are not.
 */
import { readFileSync } from 'node:fs'
import { TOKEN_VARIABLE } from '../../config/settings.js'

export type ReadToken = { readonly token: string | null } | { readonly problem: string }

export function readToken (
  token: string | undefined,
  file: string | undefined,
  variable: string | undefined
): ReadToken {
  if (token !== undefined && file !== undefined) return { problem: '--token and --token-file are mutually exclusive' }
  if (token !== undefined) return checked(token, '--token')
  if (file !== undefined) return readTokenFile(file)
  // Compose sets unset variables to the empty string.
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
  return { problem: `${source}: ${token === '' ? 'is empty' : 'must consist of visible ASCII characters'}` }
}
