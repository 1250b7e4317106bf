/**
 * TLS to the database according to sslmode, as in psql:
 *
 *   disable        none
 *   allow, prefer  encrypted if the server supports it, unverified; otherwise plain
 *   require        encrypted, unverified; with sslrootcert: like verify-ca
 *   no-verify      encrypted, unverified
 *   verify-ca      encrypted, with a server certificate from a trusted authority
 *   verify-full    like verify-ca, and the certificate matches the host of the URL
 *
 * Trusted authorities are those in sslrootcert; without it, and with `system`, those of Node.js. `system` needs
 * verify-full, which is then the default: anybody can get a certificate from a public authority.
 */
import { readFile } from 'node:fs/promises'
import type { ConnectionOptions } from 'node:tls'
import { SYSTEM, type ConnectionTarget, type TargetHost } from './connection-target.js'

/** TLS options for one of the hosts, or false for no TLS. Rejects if a file cannot be read. */
export async function encryptionOf (
  target: ConnectionTarget, { host }: TargetHost
): Promise<ConnectionOptions | false> {
  const { sslMode, sslRootCert, sslCert, sslKey } = target
  // Servers offer no TLS on Unix sockets, which stay on this machine.
  if (sslMode === 'disable' || host.startsWith('/')) return false
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
      return sslRootCert === null
        ? { ...identity, rejectUnauthorized: false }
        : { ...identity, ...trusted, checkServerIdentity: () => undefined }
    case 'verify-ca':
      return { ...identity, ...trusted, checkServerIdentity: () => undefined }
    case 'verify-full':
      return { ...identity, ...trusted }
  }
}

/** Whether a server without TLS is acceptable. */
export function canDoWithout ({ sslMode }: ConnectionTarget): boolean {
  return sslMode === 'allow' || sslMode === 'prefer'
}
