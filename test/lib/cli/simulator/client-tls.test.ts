/** Certificates of programs that talk to a server: refused before anything is sent. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readClientTls } from '../../../../lib/cli/simulator/client-tls.js'
import { makeCertificate, needCertificates } from '../../../support/programs/certificates.js'

needCertificates()

t.test('what cannot be used is named', async (t) => {
  const directory = t.testdir()
  const [one, other] = [await makeCertificate(directory, 'one'), await makeCertificate(directory, 'other')]
  const [text, empty] = [join(directory, 'text'), join(directory, 'empty')]
  writeFileSync(text, 'no certificate')
  writeFileSync(empty, '')
  const given = { ca: undefined, cert: undefined, key: undefined }
  const pair = '--cert and --key are not a certificate in PEM and its key'
  const cases: Array<[Partial<Record<'ca' | 'cert' | 'key', string>>, string | RegExp]> = [
    [{ cert: one.certFile }, '--cert and --key must be given together'],
    [{ key: one.keyFile }, '--cert and --key must be given together'],
    [{ ca: join(directory, 'none') }, /^--ca: ENOENT: /],
    [{ ca: text }, '--ca is not a certificate in PEM'],
    [{ ca: empty }, '--ca is not a certificate in PEM'],
    [{ cert: text, key: one.keyFile }, pair],
    [{ cert: one.certFile, key: text }, pair],
    [{ cert: one.certFile, key: other.keyFile }, pair]
  ]
  for (const [files, problem] of cases) t.match(readClientTls({ ...given, ...files }), problem, JSON.stringify(files))
  t.same(readClientTls(given), {})
  t.same(readClientTls({ ca: other.certFile, cert: one.certFile, key: one.keyFile }), {
    ca: other.cert, cert: one.cert, key: one.key
  })
})
