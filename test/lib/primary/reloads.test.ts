/** Reloads: each file takes effect whole or not at all, and does not hold up the others. */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Reloads, type ReloadsOptions } from '../../../lib/primary/reloads.js'
import { createLogger } from '../../../lib/support/log.js'
import { eventually } from '../../support/eventually.js'
import { makeCertificate, NO_CERTIFICATES } from '../../support/programs/certificates.js'

const NOTHING = {
  apiTokens: [], apiTokensFile: null, udpKeysFile: null, udpPorts: [1], tlsCert: null, tlsKey: null, tlsClientCa: null
}

interface Rig {
  readonly reloads: Reloads
  readonly used: unknown[]
  readonly lines: string[]
  readonly again: () => Promise<void>
}

async function until (what: string, isSo: () => boolean): Promise<void> {
  await eventually(what, 10_000, async () => await Promise.resolve(isSo() || undefined), 5)
}

function rigOf (config: object, useTls: ReloadsOptions['useTls'] = async () => { await Promise.resolve() }): Rig {
  const used: unknown[] = []
  const lines: string[] = []
  const reloads = new Reloads({
    config: { ...NOTHING, ...config } as unknown as ReloadsOptions['config'],
    log: createLogger({ level: 'info', name: 'test', destination: { write: (line) => { lines.push(line) } } }),
    useTokens: (tokens) => used.push(tokens?.map(({ name }) => name)),
    useUdpKeys: (keys) => used.push(keys?.map(({ id }) => id)),
    useTls
  })
  const again = async (): Promise<void> => {
    const before = reloads.ok + reloads.failed
    reloads.request()
    await until('a reload', () => reloads.ok + reloads.failed > before)
  }
  return { reloads, used, lines, again }
}

t.test('without any file there is nothing to reload', async (t) => {
  const { reloads, lines } = rigOf({})
  reloads.request()
  await until('a line', () => lines.length > 0)
  t.match(lines, [/nothing to reload: none of API_TOKENS_FILE, UDP_KEYS_FILE and TLS_CERT is set/])
  t.match(reloads, { ok: 0, failed: 0, faults: [] })
})

t.test('a fault in one file does not hold up the others, and is named until the next reload', async (t) => {
  const directory = t.testdir({
    tokens: `tokens: [{ name: bench, sha256: ${'ab'.repeat(32)}, roles: [read] }]`, keys: 'keys: 5'
  })
  const [apiTokensFile, udpKeysFile] = [join(directory, 'tokens'), join(directory, 'keys')]
  const { reloads, used, lines, again } = rigOf({ apiTokensFile, udpKeysFile })
  await again()
  t.strictSame(used, [['bench']])
  t.match(reloads, { ok: 0, failed: 1, faults: [`UDP_KEYS_FILE ${udpKeysFile}: `] })
  t.match(lines.join(''), /UDP_KEYS_FILE is invalid; the previous keys stay in force/)
  await writeFile(udpKeysFile, `keys: [{ id: one, secret: ${'s'.repeat(40)} }]`)
  await writeFile(apiTokensFile, 'tokens: 5')
  await chmod(udpKeysFile, 0o644)
  await again()
  t.strictSame(used.slice(1), [['one']])
  t.match(reloads, { ok: 0, failed: 2, faults: [`API_TOKENS_FILE ${apiTokensFile}: `] })
  t.match(lines.join(''), /other users of this machine may have access to UDP_KEYS_FILE/)
})

t.test('a certificate that the HTTP engine cannot use stays out of force', { skip: NO_CERTIFICATES }, async (t) => {
  const { certFile, keyFile } = await makeCertificate(t.testdir(), 'one')
  const tls = { isRefused: true }
  const { reloads, lines, again } = rigOf({ tlsCert: certFile, tlsKey: keyFile }, async () => {
    if (tls.isRefused) await Promise.reject(new Error('a kind of key that it does not know'))
  })
  await again()
  t.match(reloads, { failed: 1, faults: ['a kind of key that it does not know'] })
  t.match(lines.join(''), /the previous TLS certificate stays in force/)
  tls.isRefused = false
  await again()
  t.match(reloads, { ok: 1, faults: [] })
  t.match(lines.at(-1), /TLS_CERT reloaded/)
})
