/** Senders in another language: the Python examples in SPEC.md, verbatim, against a test listener. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { arrived, openBench } from '../lib/ingress/udp/fake-intake.js'

const spec = readFileSync(new URL('../../../protocol/SPEC.md', import.meta.url), 'utf8')
const examples = Array.from(spec.matchAll(/```python\n(.*?)```/gs), match => match[1]!)

/** The python3 on the path may not be the one with the system's packages. */
const python = ['python3', '/usr/bin/python3'].find(each => spawnSync(each, ['-c', 'import msgpack']).status === 0)
const skip = python === undefined && 'no python3 with msgpack (Debian: python3-msgpack, otherwise: pip install msgpack)'

/** Runs the example that contains `word` against another port. */
async function runExample (word: string, port: number): Promise<number> {
  const program = examples.find(example => example.includes(word))!.replace('8081', String(port))
  const child = spawn(python!, ['-c', program], { stdio: 'inherit' })
  const [code] = await once(child, 'exit') as [number]
  return code
}

t.test('the frame form with a key', { skip }, async t => {
  const [, id = '', secret = ''] = /"(ground-7):(\w+)"/.exec(spec) ?? []
  const keys = [{ id, secret, senders: ['python'], satellites: ['SAT-0001'], port: null }]
  const { intake, listener } = await openBench(t, 1_000_000, 100, false, { keys })
  t.equal(await runExample('send_keyed', listener.port), 0)
  await arrived(listener, 11)
  t.match(listener.counters(), { taken: 11, authenticated: 11, heartbeats: 1 })
  t.match(intake.stored.at(-1), { id: 'SAT-0001', values: [9.25, NaN, NaN] })
  t.match(listener.listSenders(0, 1).senders, [{ sender: 'python', key: 'ground-7', highest: 10, missing: 0 }])
})

t.test('the plain form', { skip }, async t => {
  const { intake, listener } = await openBench(t)
  t.equal(await runExample('point = {', listener.port), 0)
  await arrived(listener, 1)
  t.match(intake.stored, [{ id: 'SAT-0001', values: [73.21, NaN, NaN] }])
})

t.test('the frame form, accounted for to the last packet', { skip }, async t => {
  const { intake, listener } = await openBench(t, 1_000_000)
  const before = Date.now() * 1000
  t.equal(await runExample('heartbeat', listener.port), 0)
  await arrived(listener, 101)
  t.equal(intake.stored.length, 1000)
  const last = intake.stored[999]!
  t.strictSame({ id: last.id, values: last.values }, { id: 'SAT-0009', values: [99.25, NaN, -71.43] })
  t.ok(last.timeMicros >= before && last.timeMicros <= Date.now() * 1000)
  t.match(listener.listSenders(0, 1).senders, [{ sender: 'python', highest: 100, received: 101, missing: 0 }])
})
