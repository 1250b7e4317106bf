/** Self-signed certificates, made by openssl, for 127.0.0.1 and localhost. */
import { execFile, spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { TlsMaterial } from '../../../lib/support/tls.js'

const run = promisify(execFile)

/** Why no certificates can be made; false if they can. */
export const NO_CERTIFICATES = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

/** Skips the whole test file where no certificates can be made. */
export function needCertificates (): void {
  if (NO_CERTIFICATES === false) return
  t.plan(0, NO_CERTIFICATES)
  process.exit()
}

export interface TestCertificate extends TlsMaterial {
  readonly certFile: string
  readonly keyFile: string
  /** SHA-256 of the certificate, as in fingerprint256 of node:tls. */
  readonly fingerprint: string
}

/** @param name of its subject, and of its files in the directory */
export async function makeCertificate (directory: string, name: string): Promise<TestCertificate> {
  const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)]
  await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-keyout', keyFile, '-out', certFile, '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'
  ])
  const { stdout } = await run('openssl', ['x509', '-in', certFile, '-noout', '-fingerprint', '-sha256'])
  const fingerprint = stdout.trim().split('=')[1] ?? ''
  const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
  return { cert, key, clientCa: null, certFile, keyFile, fingerprint }
}
