/** The files of TLS: what is wrong with them, and what is only suspicious. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readTls, type TlsFiles } from '../../../lib/access/tls-files.js'
import { makeCertificate, needCertificates } from '../../support/programs/certificates.js'
import { temporaryDirectory } from '../../support/database/postgres.js'

needCertificates()
const directory = await temporaryDirectory(t)
const [one, other] = await Promise.all([makeCertificate(directory, 'one'), makeCertificate(directory, 'other')])

async function read (changes: Partial<Parameters<typeof readTls>[0]> = {}, nowMs?: number): Promise<TlsFiles | null> {
  const result = await readTls({ tlsCert: one.certFile, tlsKey: one.keyFile, tlsClientCa: null, ...changes }, nowMs)
  if (result.ok) return result.tls
  throw new Error(result.faults.join('\n'))
}

t.test('what a server works with', async (t) => {
  t.equal(await read({ tlsCert: null, tlsKey: null }), null)
  const { material, expiresMs, warnings } = await read({ tlsClientCa: other.certFile }) as TlsFiles
  t.same(material, { cert: one.cert, key: one.key, clientCa: other.cert })
  t.ok(expiresMs > Date.now())
  t.same(warnings, [])
})

t.test('faults name the setting and the file', async (t) => {
  const missing = join(directory, 'missing')
  const fails = async (changes: Parameters<typeof read>[0], message: RegExp): Promise<void> => {
    await t.rejects(read(changes), message)
  }
  await fails({ tlsCert: missing, tlsKey: missing }, /TLS_CERT .*ENOENT[^]*TLS_KEY .*ENOENT/)
  await fails({ tlsKey: directory }, /TLS_KEY .* is not a regular file/)
  await fails({ tlsCert: one.keyFile }, /TLS_CERT .*one\.key is not a certificate in PEM/)
  await fails({ tlsKey: one.certFile }, /TLS_KEY .*one\.crt is not a private key in PEM/)
  await fails({ tlsKey: other.keyFile }, /TLS_KEY .*other\.key is not the key of TLS_CERT .*one\.crt/)
  await fails({ tlsClientCa: one.keyFile }, /TLS_CLIENT_CA .*one\.key does not consist of certificates/)
  const encrypted = join(directory, 'encrypted.key')
  await writeFile(encrypted, one.key.replace('BEGIN PRIVATE', 'BEGIN ENCRYPTED PRIVATE'))
  await fails({ tlsKey: encrypted }, /TLS_KEY .* is encrypted/)
  const damaged = join(directory, 'damaged.crt')
  await writeFile(damaged, one.cert + one.cert.slice(0, 200))
  await fails({ tlsClientCa: damaged }, /TLS_CLIENT_CA .*damaged\.crt does not consist of certificates/)
  const large = join(directory, 'large')
  await writeFile(large, one.cert + ' '.repeat(1024 * 1024))
  await fails({ tlsCert: large }, /TLS_CERT .* larger than/)
})

t.test('an expired certificate, and a key that others can read, are only warned about', async (t) => {
  const expired = await read({}, Date.now() + 30 * 86_400_000)
  t.match(expired?.warnings, [/expired on 20.*; clients refuse it/])
  await chmod(one.keyFile, 0o640)
  t.match((await read())?.warnings, [/other users of this machine .* chmod 600/])
})
