/**
 * The files of TLS_CERT, TLS_KEY and TLS_CLIENT_CA. They are read together, and used only if a server can work with
 * them: with a certificate and a key that do not match, every client would be refused.
 */
import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { TLS_VERSION_MIN, type TlsMaterial } from '../support/tls.js'
import { readBounded, type BoundedFile } from '../config/bounded-file.js'
import type { Config } from '../config/settings.js'

/** Bundles of many roots have about 200 KB. */
const FILE_BYTES_MAX = 1024 * 1024
const ENCRYPTED_KEY = /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m
const PEM_CERTIFICATES = /-----BEGIN CERTIFICATE-----[^]*?(-----END CERTIFICATE-----|$)/g
/** Permissions of group and others to read or write. */
const OTHERS_MODE = 0o066

export interface TlsFiles {
  readonly material: TlsMaterial
  /** When the certificate expires, in milliseconds since 1970. */
  readonly expiresMs: number
  /** Sentences without a full stop. */
  readonly warnings: readonly string[]
}

export type ReadTls =
  /** Null: TLS is not configured. */
  | { readonly ok: true, readonly tls: TlsFiles | null }
  /** Each names the setting and the file. Sentences without a full stop. */
  | { readonly ok: false, readonly faults: readonly string[] }

type Settings = Pick<Config, 'tlsCert' | 'tlsKey' | 'tlsClientCa'>

/** @param nowMs milliseconds since 1970 */
export async function readTls ({ tlsCert, tlsKey, tlsClientCa }: Settings, nowMs = Date.now()): Promise<ReadTls> {
  if (tlsCert === null || tlsKey === null) return { ok: true, tls: null }
  const cert = await readPem('TLS_CERT', tlsCert)
  const key = await readPem('TLS_KEY', tlsKey)
  const clientCa = tlsClientCa === null ? null : await readPem('TLS_CLIENT_CA', tlsClientCa)
  const faults = [cert, key, clientCa].flatMap((file) => file?.problem ?? [])
  if (ENCRYPTED_KEY.test(key.text)) faults.push(`TLS_KEY ${tlsKey} is encrypted; store it decrypted (openssl pkey)`)
  if (faults.length > 0) return { ok: false, faults }
  const material = { cert: cert.text, key: key.text, clientCa: clientCa?.text ?? null }
  const problem = problemOf(material, { tlsCert, tlsKey, tlsClientCa })
  if (problem !== null) return { ok: false, faults: [problem] }
  const expiresMs = Date.parse(new X509Certificate(material.cert).validTo)
  const warnings = []
  if ((key.mode & OTHERS_MODE) !== 0) {
    warnings.push(`other users of this machine may have access to TLS_KEY ${tlsKey}: chmod 600 it`)
  }
  if (expiresMs <= nowMs) warnings.push(describeExpiry(expiresMs))
  return { ok: true, tls: { material, expiresMs, warnings } }
}

/** @param expiresMs milliseconds since 1970, in the past */
export function describeExpiry (expiresMs: number): string {
  return `the certificate of TLS_CERT expired on ${new Date(expiresMs).toISOString()}; clients refuse it`
}

async function readPem (setting: string, path: string): Promise<BoundedFile> {
  const read = await readBounded(path, FILE_BYTES_MAX)
  return read.problem === null ? read : { ...read, problem: `${setting} ${path} ${read.problem}` }
}

/** Why no server can use the material; null if one can. */
function problemOf ({ cert, key, clientCa }: TlsMaterial, { tlsCert, tlsKey, tlsClientCa }: Settings): string | null {
  const [certName, keyName] = [`TLS_CERT ${String(tlsCert)}`, `TLS_KEY ${String(tlsKey)}`]
  const attempts = [
    [`${certName} is not a certificate in PEM`, () => new X509Certificate(cert)],
    [`${keyName} is not a private key in PEM`, () => createSecureContext({ key })],
    [`${keyName} is not the key of ${certName}`, () => {
      createSecureContext({ cert, key, minVersion: TLS_VERSION_MIN })
    }],
    // node:tls would stop at the first that is invalid, and say nothing.
    [`TLS_CLIENT_CA ${String(tlsClientCa)} does not consist of certificates in PEM`, () => {
      if (clientCa === null) return []
      return (clientCa.match(PEM_CERTIFICATES) ?? ['']).map((each) => new X509Certificate(each))
    }]
  ] as const
  for (const [problem, attempt] of attempts) {
    try {
      attempt()
    } catch (error) {
      return `${problem}: ${(error as Error).message}`
    }
  }
  return null
}
