/** Options that name the server to talk to, and the token and certificates for it. */
import { TOKEN_VARIABLE } from '../../config/settings.js'
import { url as urlType } from '../../config/setting-types.js'
import { trustForRequests } from '../../sim/send/api-request.js'
import type { Option } from '../options.js'
import { CLIENT_TLS_OPTIONS, readClientTls, type ClientTls } from './client-tls.js'
import { readSecret, TOKEN } from './sim-secret.js'

export const API_URL_OPTION = {
  name: 'api-url',
  type: 'string',
  placeholder: 'url',
  default: 'http://127.0.0.1:8080',
  help: 'Server address.'
} as const satisfies Option

/** How to be admitted. */
export const ADMISSION_OPTIONS = [
  {
    name: 'token',
    type: 'string',
    help: 'Token, if the server requires one. Visible to other users of this machine: prefer --token-file.'
  },
  {
    name: 'token-file',
    type: 'string',
    placeholder: 'file',
    help: 'File with the token in its first line.',
    note: `default: the ${TOKEN_VARIABLE} variable`
  },
  ...CLIENT_TLS_OPTIONS
] as const satisfies readonly Option[]

export interface Server {
  readonly url: URL
  /** Null: none is sent. */
  readonly token: string | null
  readonly tls: ClientTls
}

interface ServerValues {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly 'api-url': string
  readonly token: string | undefined
  readonly 'token-file': string | undefined
}

/** The server that a command line names; from then on its API is asked with its certificates. A text: what is wrong. */
export function readServer (values: ServerValues): Server | string {
  const url = urlType(['http', 'https']).parse(values['api-url'])
  if (!url.ok) return `--api-url: ${url.message}`
  const read = readSecret(TOKEN, values.token, values['token-file'])
  if ('problem' in read) return read.problem
  const tls = readClientTls(values)
  if (typeof tls === 'string') return tls
  trustForRequests(tls)
  return { url: new URL(url.value), token: read.text, tls }
}
