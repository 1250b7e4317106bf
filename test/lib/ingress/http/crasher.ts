/** A server whose parts throw what no part may throw: `crasher.js uws|node decode|offer|refusal|status`. Prints its port. */
import { createHandler } from '../../../../lib/ingress/http/routes.js'
import { HttpCounters } from '../../../../lib/ingress/http/counters.js'
import { loadEngine } from '../../../../lib/ingress/http/load-engine.js'
import { FakeIntake, FakeStatus } from './rig.js'

const [kind, place] = process.argv.slice(2)
const fault = new Error('a fault of the program')
const intake = new FakeIntake()
const status = new FakeStatus()
status.answer = fault
if (place === 'refusal') intake.refusal = () => { throw fault }
if (place === 'offer') intake.offer = () => { throw fault }
const now = (): number => {
  if (place === 'decode') throw fault
  return Date.now() * 1000
}
const counters = new HttpCounters(() => { throw fault })
const handler = createHandler({ intake, status, config: { maxBodyBytes: 1_000_000, apiTokens: [] }, counters, now })
const engine = await loadEngine(kind === 'uws' ? 'uws' : 'node', () => { throw fault })
const server = await engine.listen('127.0.0.1', 0, handler)
console.log(server.port)
