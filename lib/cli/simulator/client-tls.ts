/** Options of programs that talk to a server over TLS: whom they trust, and the certificate that they present. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { Option } from '../options.js'

export const CLIENT_TLS_OPTIONS = [
  {
    name: 'ca',
    type: 'string',
    placeholder: 'file',
    help: 'https: root certificates in PEM to trust, or the server\'s own certificate if it is self-signed.',
    note: 'default: those of Node.js'
  },
  {
    name: 'cert',
    type: 'string',
    placeholder: 'file',
    help: 'https: certificate in PEM to present to the server, if it requires one (TLS_CLIENT_CA).'
  },
  { name: 'key', type: 'string', placeholder: 'file', help: 'https: key of --cert in PEM.' }
] as const satisfies readonly Option[]

/** Texts in PEM. */
export interface ClientTls { ca?: string, cert?: string, key?: string }

type Values = Readonly<Record<'ca' | 'cert' | 'key', string | undefined>>

/** Reads the files, and checks that a connection can use them. Returns a text if something is wrong. */
export function readClientTls (values: Values): ClientTls | string {
  if ((values.cert === undefined) !== (values.key === undefined)) return '--cert and --key must be given together'
  const tls: ClientTls = {}
  for (const name of ['ca', 'cert', 'key'] as const) {
    const file = values[name]
    if (file === undefined) continue
    try {
      tls[name] = readFileSync(file, 'utf8')
    } catch (error) {
      return `--${name}: ${(error as Error).message}`
    }
  }
  return problemOf(tls) ?? tls
}

function problemOf (tls: ClientTls): string | null {
  const attempts = [
    // node:tls would ignore what it cannot read.
    ['--ca is not a certificate in PEM', () => tls.ca === undefined || new X509Certificate(tls.ca)],
    ['--cert and --key are not a certificate in PEM and its key', () => createSecureContext(tls)]
  ] as const
  for (const [problem, attempt] of attempts) {
    try {
      attempt()
    } catch {
      return problem
    }
  }
  return null
}
