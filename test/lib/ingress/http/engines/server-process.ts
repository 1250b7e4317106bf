/**
 * A server in a separate process: `server-process.js uws|node decode|offer|refusal|status|nowhere`. Prints its port.
 * The named part throws, like a programmer's error. SIGTERM closes the server; only that lets the process end.
 */
import { TokenCheck } from '../../../../../lib/ingress/http/api/tokens.js'
import { createHandler } from '../../../../../lib/ingress/http/api/routes.js'
import { HttpCounters } from '../../../../../lib/ingress/http/api/counters.js'
import { loadEngine } from '../../../../../lib/ingress/http/engines/load-engine.js'
import { FakeIntake, FakeStatus } from './rig.js'

const [kind, place] = process.argv.slice(2)
const fault = new Error('a fault of the program')
const intake = new FakeIntake()
const status = new FakeStatus()
if (place === 'status') status.answer = fault
if (place === 'refusal') intake.refusal = () => { throw fault }
if (place === 'offer') intake.offer = () => { throw fault }
const now = (): number => {
  if (place === 'decode') throw fault
  return Date.now() * 1000
}
const counters = new HttpCounters(() => {})
const config = { maxBodyBytes: 1_000_000, allowedOrigins: [] }
const tokens = new TokenCheck(null, { readOpen: false })
const handler = createHandler({ intake, streams: new Map(), status, config, tokens, counters, now })
const engine = await loadEngine(kind === 'uws' ? 'uws' : 'node')
const server = await engine.listen('127.0.0.1', 0, handler)
process.once('SIGTERM', () => { server.close(10_000).catch((error: unknown) => console.error(error)) })
console.log(server.port)
