/**
 * TLS to the database by sslmode, as psql has it:
 *
 *   disable        none
 *   allow, prefer  encrypted where the server can, whoever it is; else not
 *   require        encrypted, whoever the server is; with sslrootcert: as verify-ca
 *   no-verify      encrypted, whoever the server is
 *   verify-ca      encrypted, and the server's certificate comes from an authority that is trusted
 *   verify-full    that, and it is made out to the host of the URL
 *
 * Trusted are the authorities in sslrootcert; without it, and with `system`, those that Node.js trusts.
 */
import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import type { ConnectionTarget } from './connection-target.js'

const SYSTEM = 'system'

/** What to connect with, or false for no TLS. Rejects where a file cannot be read. */
export async function encryptionOf (target: ConnectionTarget): Promise<ConnectionOptions | false> {
  const { host, sslMode, sslRootCert, sslCert, sslKey } = target
  // Unix sockets do not leave the machine, and servers speak no TLS on them.
  if (sslMode === 'disable' || host?.startsWith('/') === true) return false
  const identity = {
    ...sslCert === null ? {} : { cert: await readFile(sslCert) },
    ...sslKey === null ? {} : { key: await readFile(sslKey) }
  }
  const trusted = sslRootCert === null || sslRootCert === SYSTEM ? {} : { ca: await readFile(sslRootCert) }
  switch (sslMode) {
    case 'allow':
    case 'prefer':
    case 'no-verify':
      return { ...identity, rejectUnauthorized: false }
    case 'require':
      return sslRootCert === null ? { ...identity, rejectUnauthorized: false } : { ...identity, ...trusted, checkServerIdentity: () => undefined }
    case 'verify-ca':
      return { ...identity, ...trusted, checkServerIdentity: () => undefined }
    case 'verify-full':
      return { ...identity, ...trusted }
  }
}

/** Whether a server without TLS will do. */
export function canDoWithout ({ sslMode }: ConnectionTarget): boolean {
  return sslMode === 'allow' || sslMode === 'prefer'
}
