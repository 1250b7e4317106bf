/** `token create NAME`: makes a token, which is shown once, and its line for API_TOKENS_FILE, which has its digest alone. */
import { randomBytes } from 'node:crypto'
import { parseTokenFile } from '../../access/token-file.js'
import { ROLES, sha256Of } from '../../access/token.js'
import { defineCommand } from '../command.js'

/** As hard to guess as its digest is to invert. */
const TOKEN_BYTES = 32
/** What a token begins with, so that it is known for one where it should not stand; never a dash, which a shell would take for an option. */
const PREFIX = 'orbitstream_'

export const tokenCreate = defineCommand({
  name: 'token create',
  summary: 'Make a token with roles: print it once, and the line for API_TOKENS_FILE.',
  options: [
    { name: 'role', type: 'texts', placeholder: 'role', help: `What it may do: ${ROLES.join(', ')}; once or several times.` },
    { name: 'satellites', type: 'texts', placeholder: 'pattern', help: 'Ids or patterns (SAT-00*) of the satellites whose points it may send; once or several times.', note: 'default: all' },
    { name: 'expires', type: 'duration', min: 1_000, max: 36_500 * 86_400_000, help: 'Time from now after which it counts no more, such as 90d.', note: 'default: never' }
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
    // By the reader of the file: what is printed is what it takes.
    const parsed = parseTokenFile(`{"tokens":[${line}]}`)
    if (!parsed.ok) {
      for (const fault of parsed.faults) complain(`error: ${fault.replace('tokens[0].', '')}`)
      return 2
    }
    print(await Promise.resolve(textOf(token, line, config.apiTokensFile)))
    return 0
  }
})

/** Whole seconds read better. */
function expiryOf (fromNowMs: number): string {
  return new Date(Date.now() + fromNowMs).toISOString().replace(/\.\d+Z$/, 'Z')
}

function textOf (token: string, line: string, file: string | null): string {
  return `Token, shown this once; send it as Authorization: Bearer <token>:

  ${token}

Line for the list "tokens" in ${file ?? 'the file that API_TOKENS_FILE names'}:

  ${line}

A new file: {"tokens":[<line>,<line>]}. A server that runs with it takes it over on SIGHUP (kill -HUP <process id of the server>).`
}
