/** Choosing the engine, and what a handler that throws does to the process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { loadEngine } from '../../../../lib/ingress/http/load-engine.js'
import { ERRORS } from '../../../../lib/errors.js'
import { POINT, errorOf } from './rig.js'
import type { ChildProcess } from 'node:child_process'
import type { Test } from 'tap'
import type { HttpEngine } from '../../../../lib/ingress/http/engine.js'

const SERVER = fileURLToPath(new URL('./server-process.js', import.meta.url))

async function noBinary (): Promise<HttpEngine> {
  return await Promise.reject(new Error('this version of uWS supports only other machines\nand a long story'))
}

t.test('auto takes uWebSockets.js where it loads, without a word', async (t) => {
  const engine = await loadEngine('auto', (message) => t.fail(message))
  t.equal(engine.name, 'uws')
})

t.test('auto falls back to node:http with one warning that says what to install', async (t) => {
  const warnings: string[] = []
  const engine = await loadEngine('auto', (message) => warnings.push(message), noBinary)
  t.equal(engine.name, 'node')
  t.equal(warnings.length, 1)
  t.match(warnings[0], /supports only other machines\).*node:http.*install/)
  t.notMatch(warnings[0], 'long story')
})

t.test('node takes node:http without loading anything', async (t) => {
  const engine = await loadEngine('node', (message) => t.fail(message), async () => await Promise.reject(new Error('loaded')))
  t.equal(engine.name, 'node')
})

t.test('uws fails where it does not load', async (t) => {
  await t.rejects(loadEngine('uws', (message) => t.fail(message), noBinary), /does not load.*HTTP_ENGINE/)
})

/** Starts a server process and sends it one request, on a connection that is kept. */
async function runServer (t: Test, engine: string, place: string): Promise<{ child: ChildProcess, exited: Promise<unknown[]>, answer: Response, errors: () => string }> {
  const child = spawn(process.execPath, [SERVER, engine, place], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  let errors = ''
  child.stderr.on('data', (chunk: Buffer) => { errors += chunk.toString() })
  const [port] = await once(createInterface(child.stdout), 'line') as [string]
  const path = place === 'status' ? '/health' : '/telemetry'
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, place === 'status' ? {} : { method: 'POST', body: POINT, headers: { 'content-type': 'application/json' } })
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
