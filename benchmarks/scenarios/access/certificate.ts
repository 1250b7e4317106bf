/** A self-signed certificate for this machine, made by openssl. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Why none can be made; null: one can. */
export function certificateMissing (): string | null {
  return spawnSync('openssl', ['version']).status === 0 ? null : 'openssl is not installed'
}

/** In PEM. */
export function makeCertificate (): { readonly cert: string, readonly key: string } {
  const directory = mkdtempSync(join(tmpdir(), 'orbitstream-bench-tls-'))
  try {
    const [cert, key] = [join(directory, 'cert'), join(directory, 'key')]
    execFileSync('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-keyout', key, '-out', cert, '-subj', '/CN=bench', '-addext', 'subjectAltName=IP:127.0.0.1'
    ], { stdio: 'pipe' })
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
