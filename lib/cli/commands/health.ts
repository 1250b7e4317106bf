/**
 * `health`: what the running server says of itself, for people, scripts and container health checks.
 *
 * Exit code 0: points are accepted (healthy or degraded); 1: they are not, or no server answers in time.
 */
import { request } from 'undici'
import { codeOf } from '../../sim/http-transport.js'
import { describeCause } from '../../sim/summary.js'
import { reachable } from '../address.js'
import { defineCommand } from '../command.js'
import { printable } from '../table.js'

/** What of the answer is shown. */
interface Health {
  readonly status: 'healthy' | 'degraded' | 'unhealthy'
  readonly reasons: readonly string[]
}

type Found = { readonly text: string, readonly health: Health } | { readonly problem: string }

export const health = defineCommand({
  name: 'health',
  summary: 'Ask the running server whether it accepts points; exit code 0 if it does.',
  options: [
    { name: 'timeout', type: 'duration', bareUnit: 's', min: 1, max: 60_000, default: '5s', help: 'How long the answer may take.' },
    { name: 'json', type: 'boolean', help: 'Print the whole answer as JSON.' }
  ],
  settings: ['host', 'port'],
  async run ({ config, values, print, complain }) {
    const found = await ask(`http://${reachable(config.host)}:${config.port}`, values.timeout)
    if ('problem' in found) {
      complain(`error: ${found.problem}`)
      return 1
    }
    const { text, health: { status, reasons } } = found
    print(values.json ? text : [status, ...reasons.map((reason) => `  ${printable(reason)}`)].join('\n'))
    return status === 'unhealthy' ? 1 : 0
  }
})

async function ask (origin: string, timeoutMs: number): Promise<Found> {
  try {
    const { body, statusCode } = await request(`${origin}/health`, { signal: AbortSignal.timeout(timeoutMs) })
    const text = await body.text()
    const answer = parse(text)
    if (isHealth(answer)) return { text, health: answer }
    return { problem: refusal(answer) ?? `what answers at ${origin} is not OrbitStream (status ${statusCode}); HOST and PORT name the server` }
  } catch (error) {
    const cause = error instanceof Error ? codeOf(error) : String(error)
    return { problem: cause === 'TimeoutError' ? `no answer from ${origin} within ${timeoutMs / 1000} s` : `no server answers at ${origin}: ${describeCause(cause)}` }
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function isHealth (answer: unknown): answer is Health {
  return typeof answer === 'object' && answer !== null && 'status' in answer && 'reasons' in answer && Array.isArray(answer.reasons) &&
    (answer.status === 'healthy' || answer.status === 'degraded' || answer.status === 'unhealthy')
}

/** The message of an OrbitStream that cannot say how it is: it starts or stops. */
function refusal (answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return null
  const { error } = answer
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : null
  return typeof message === 'string' ? printable(message) : null
}
