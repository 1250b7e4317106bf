/** Proxies in front of a server: starts one, and sends through it. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { Agent, request } from 'undici'
import { eventually } from '../../../../support/eventually.js'
import { onProcessEnd } from '../../../../support/programs/process-end.js'
import { temporaryDirectory } from '../../../../support/database/postgres.js'
import { makeCertificate, type TestCertificate } from '../../../../support/programs/certificates.js'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'

const READY_MS_MAX = 30_000

/** Its path; undefined: not installed. */
export function findProgram (name: string): string | undefined {
  return [name, `/usr/sbin/${name}`].find((each) => spawnSync(each, ['-v']).status === 0)
}

/** Resolves once it listens on the port. */
export async function startProxy (t: Test, program: string, words: readonly string[], port: number): Promise<void> {
  const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
  child.once('exit', onProcessEnd(() => { child.kill('SIGTERM') }))
  t.teardown(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => { said += chunk.toString() })
  await eventually(`${program} listens`, READY_MS_MAX, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended: ${said}`)
    const socket = connect(port, '127.0.0.1')
    return await once(socket, 'connect').then(() => true, () => undefined).finally(() => socket.destroy())
  })
}

export interface ProxyTls extends TestCertificate {
  /** Certificate and key in one file. */
  readonly pemFile: string
  readonly directory: string
}

/** One certificate for both the proxy and the server behind it. */
export async function proxyTls (t: Test): Promise<ProxyTls> {
  const directory = await temporaryDirectory(t)
  const certificate = await makeCertificate(directory, 'both')
  const pemFile = `${certificate.certFile}.pem`
  await writeFile(pemFile, certificate.cert + certificate.key)
  return { ...certificate, pemFile, directory }
}

export class ProxyClient {
  private readonly dispatcher: Agent

  /** @param ca root of its certificate, in PEM; null: plain HTTP */
  constructor (t: Test, readonly origin: string, ca: string | null = null) {
    this.dispatcher = new Agent(ca === null ? {} : { connect: { ca } })
    t.teardown(async () => await this.dispatcher.destroy())
  }

  /** The status of the answer. */
  async send (path: string, body: string | Readable, headers: Record<string, string> = {}): Promise<number> {
    const { statusCode, body: answer } = await request(`${this.origin}${path}`, {
      method: 'POST', body, headers: { 'content-type': 'application/json', ...headers }, dispatcher: this.dispatcher
    })
    await answer.dump()
    return statusCode
  }
}
