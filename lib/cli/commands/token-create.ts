/** `token create NAME`: prints a new token once, and its line for API_TOKENS_FILE, which contains only the digest. */
import { randomBytes } from 'node:crypto'
import { parseTokenFile } from '../../access/token-file.js'
import { ROLES, sha256Of } from '../../access/token.js'
import { DAY_MS } from '../../config/setting-types.js'
import { defineCommand } from '../command.js'

/** As hard to guess as its digest is to invert. */
const TOKEN_BYTES = 32
/** Makes leaked tokens recognizable; does not start with a dash, which would be parsed as an option. */
const PREFIX = 'orbitstream_'

export const tokenCreate = defineCommand({
  name: 'token create',
  summary: 'Create a token: print it once, with its line for API_TOKENS_FILE.',
  options: [
    {
      name: 'role',
      type: 'texts',
      placeholder: 'role',
      help: `Role to grant: ${ROLES.join(', ')}. May be repeated.`
    },
    {
      name: 'satellites',
      type: 'texts',
      placeholder: 'pattern',
      help: 'Satellite id or pattern (SAT-00*) that it may send points for. May be repeated.',
      note: 'default: all'
    },
    {
      name: 'expires',
      type: 'duration',
      min: 1_000,
      max: 36_500 * DAY_MS,
      help: 'Lifetime from now, such as 90d.',
      note: 'default: never'
    }
  ],
  settings: ['apiTokensFile'],
  positionals: { usage: 'NAME', min: 1, max: 1 },
  async run ({ config, values, positionals, print, complain }) {
    const token = PREFIX + randomBytes(TOKEN_BYTES).toString('base64url')
    const line = JSON.stringify({
      name: positionals[0],
      sha256: sha256Of(token),
      roles: values.role,
      ...values.satellites.length === 0 ? {} : { satellites: values.satellites },
      ...values.expires === undefined ? {} : { expires: expiryOf(values.expires) }
    })
    // Validated by the reader of the file, so that what is printed is accepted.
    const parsed = parseTokenFile(`{"tokens":[${line}]}`)
    if (!parsed.ok) {
      for (const fault of parsed.faults) complain(`error: ${fault.replace('tokens[0].', '')}`)
      return 2
    }
    print(await Promise.resolve(textOf(token, line, config.apiTokensFile)))
    return 0
  }
})

/** In whole seconds, for readability. */
function expiryOf (fromNowMs: number): string {
  return new Date(Date.now() + fromNowMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

function textOf (token: string, line: string, file: string | null): string {
  return `Token, shown only once. Send it as Authorization: Bearer <token>:

  ${token}

Entry for the "tokens" list in ${file ?? 'API_TOKENS_FILE'}:

  ${line}

In YAML, put a dash before it; a new file begins with "tokens:". In JSON, {"tokens":[<entry>,<entry>]}.
Have a running server load it with "orbitstream reload".`
}
