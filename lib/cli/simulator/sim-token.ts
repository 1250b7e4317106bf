/** The token to send to a server: from --token, the first line of --token-file, or the API_TOKEN variable. */
import { TOKEN_VARIABLE } from '../../config/settings.js'
import { readSecret, type ReadSecret } from './sim-secret.js'

const SOURCE = {
  option: 'token',
  variable: TOKEN_VARIABLE,
  problemOf: (text: string) => /^[\x21-\x7e]+$/.test(text) ? null : 'must consist of visible ASCII characters'
}

export function readToken (
  token: string | undefined,
  file: string | undefined,
  variable: string | undefined
): ReadSecret {
  return readSecret(SOURCE, token, file, variable)
}
