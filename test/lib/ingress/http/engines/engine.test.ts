/** Choosing the engine, and the effect of a throwing handler on the process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { chooseEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { ERRORS } from '../../../../../lib/support/errors.js'
import { POINT, errorOf } from './rig.js'
import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import type { ChoiceParts, EngineChoice } from '../../../../../lib/ingress/http/engines/load-engine.js'

const SERVER = fileURLToPath(new URL('./server-process.js', import.meta.url))

async function noBinary (): Promise<HttpEngine> {
  const lines = [
    'this version of uWS supports only other machines', 'and a long story', '',
    'Error: version `GLIBC_2.38\' not found', '  at there'
  ]
  return await Promise.reject(new Error(lines.join('\n')))
}

interface Choice {
  readonly choice: EngineChoice
  /** Messages logged. */
  readonly said: string[]
}

async function choose (preference: 'auto' | 'uws' | 'node', parts: Partial<ChoiceParts> = {}): Promise<Choice> {
  const said: string[] = []
  const log = {
    info: (message: string) => said.push(`info: ${message}`),
    warn: (message: string) => said.push(`warn: ${message}`)
  }
  return { choice: await chooseEngine(preference, { tls: null, ...log, ...parts }), said }
}

const finds = (unsafe: string[], cannot: string[]) => async () => await Promise.resolve({ unsafe, cannot })

t.test('auto chooses uWebSockets.js if it loads, and reports once what it cannot do', async (t) => {
  const { choice, said } = await choose('auto')
  t.match(choice, { name: 'uws', release: /^(uws-pack|uWebSockets\.js) \d+\.\d+/ })
  t.equal(said.length, choice.cannot.length > 0 ? 1 : 0)
  const expected = /^info: uws-pack .* does not support heads in pieces, HTTP\/1\.0, .*HTTP_ENGINE=node.*npm install/
  if (choice.release.startsWith('uws-pack')) t.match(said, [expected])
})

t.test('auto reports nothing about an engine without limitations', async (t) => {
  const { choice, said } = await choose('auto', { check: finds([], []) })
  t.match(choice, { name: 'uws', cannot: [], advice: null })
  t.same(said, [])
})

t.test('auto falls back to node:http, with one warning that explains why and what to install', async (t) => {
  const { choice, said } = await choose('auto', { load: noBinary })
  t.match(choice, { name: 'node', release: `Node.js ${process.versions.node}`, cannot: [] })
  t.equal(said.length, 1)
  t.match(said[0], /^warn: .*GLIBC_2\.38' not found\).*node:http.*install/)
  t.notMatch(said[0], 'long story')
})

t.test('auto does not choose an engine that fails a safety case, or does not serve at all', async (t) => {
  const unsafe = await choose('auto', { check: finds(['several hosts'], ['trailers']) })
  t.equal(unsafe.choice.name, 'node')
  t.match(unsafe.said, [/^warn: .*several hosts.*node:http/])
  const dead = await choose('auto', { check: async () => await Promise.reject(new Error('silence')) })
  t.equal(dead.choice.name, 'node')
  t.match(dead.said, [/^warn: .*silence/])
})

t.test('node chooses node:http without loading anything', async (t) => {
  const { choice, said } = await choose('node', { load: async () => await Promise.reject(new Error('loaded')) })
  t.equal(choice.name, 'node')
  t.same(said, [])
})

t.test('uws chooses an unsafe binary with a warning, and fails if none loads', async (t) => {
  const { choice, said } = await choose('uws', { check: finds(['several hosts'], []) })
  t.equal(choice.name, 'uws')
  t.match(choice, { unsafe: ['several hosts'], advice: /HTTP_ENGINE=node/ })
  t.match(said, [/^warn: .*several hosts/])
  await t.rejects(choose('uws', { load: noBinary }), /does not run.*HTTP_ENGINE/)
})

interface ServerRun {
  readonly child: ChildProcess
  readonly exited: Promise<unknown[]>
  readonly answer: Response
  readonly errors: () => string
}

/** Starts a server process, and sends it one request on a persistent connection. */
async function runServer (t: Test, engine: string, place: string): Promise<ServerRun> {
  const child = spawn(process.execPath, [SERVER, engine, place], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString() })
  const [port] = await once(createInterface(child.stdout), 'line') as [string]
  const path = place === 'status' ? '/health' : '/telemetry'
  const headers = { 'content-type': 'application/json' }
  const options = place === 'status' ? {} : { method: 'POST', body: POINT, headers }
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, options)
  return { child, exited, answer, errors: () => errors }
}

for (const engine of ['uws', 'node']) {
  for (const place of ['decode', 'offer', 'refusal', 'status']) {
    t.test(`${engine}: a programmer's error in ${place} is answered with 500 and ends the process`, async (t) => {
      const { exited, answer, errors } = await runServer(t, engine, place)
      t.equal(answer.status, 500)
      t.same(errorOf({ text: await answer.text() }), { code: 'internal', message: ERRORS.internal.message })
      t.same(await exited, [1, null])
      t.match(errors(), 'a fault of the program')
    })
  }

  t.test(`${engine}: a closed server does not keep the process alive`, async (t) => {
    const { child, exited, answer } = await runServer(t, engine, 'nowhere')
    t.equal(answer.status, 202)
    await answer.text()
    child.kill('SIGTERM')
    t.same(await exited, [0, null])
  })
}

t.test('bounds on the connections of an address need node:http', async (t) => {
  const { choice, said } = await choose('auto', { boundsAddresses: true })
  t.match(choice, { name: 'node' })
  t.strictSame(said, ['info: CLIENT_CONNECTIONS is set, which uWebSockets.js cannot apply: using node:http.'])
})
