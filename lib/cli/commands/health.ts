/**
 * `health`: the state of the running server, for people, scripts and container health checks.
 *
 * With TLS_CERT it asks over TLS, and trusts the certificate in this file, or those of --ca. The name in it does not
 * matter: the command asks its own machine, by an address that certificates seldom contain.
 *
 * A server with tokens reveals only the status to requests without one.
 *
 * Exit codes: 0 points are accepted (healthy or degraded); 1 they are not, or no server answers in time.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { TOKEN_VARIABLE } from '../../config/settings.js'
import { askApi, trustForRequests } from '../../sim/send/api-request.js'
import { bearer } from '../../sim/send/bearer.js'
import { codeOf } from '../../sim/send/http-transport.js'
import { describeCause } from '../../sim/summary.js'
import { reachable } from '../address.js'
import { defineCommand } from '../command.js'
import { CLIENT_TLS_OPTIONS, readClientTls } from '../simulator/client-tls.js'
import { readSecret, TOKEN } from '../simulator/sim-secret.js'
import { printable } from '../table.js'

const STATUSES = ['healthy', 'degraded', 'unhealthy'] as const

/** The part of the response that is shown. */
interface Health {
  readonly status: typeof STATUSES[number]
  /** Empty if the server does not disclose them. */
  readonly reasons: readonly string[]
}

type Found = { readonly text: string, readonly health: Health } | { readonly problem: string }

export const health = defineCommand({
  name: 'health',
  summary: 'Ask the running server whether it accepts points (exit code 0 if so).',
  options: [
    {
      name: 'timeout',
      type: 'duration',
      bareUnit: 's',
      min: 1,
      max: 60_000,
      default: '5s',
      help: 'How long to wait for the response.'
    },
    {
      name: 'token-file',
      type: 'string',
      placeholder: 'file',
      help: 'File with a token in its first line, to get details from a server that requires one.',
      note: `default: the ${TOKEN_VARIABLE} variable`
    },
    ...CLIENT_TLS_OPTIONS,
    { name: 'json', type: 'boolean', help: 'Print the full response as JSON.' }
  ],
  settings: ['host', 'port', 'tlsCert', 'tlsKey'],
  async run ({ config, values, print, complain }) {
    const read = readSecret(TOKEN, undefined, values['token-file'])
    if ('problem' in read) {
      complain(`error: ${read.problem}`)
      return 2
    }
    const tls = readTrust(values, config.tlsCert)
    if (typeof tls === 'string') {
      complain(`error: ${tls}`)
      return 2
    }
    if (tls !== null) trustForRequests(tls)
    const origin = `http${tls === null ? '' : 's'}://${reachable(config.host)}:${config.port}`
    const found = await ask(origin, read.text, values.timeout)
    if ('problem' in found) {
      complain(`error: ${found.problem}`)
      return 1
    }
    const { text, health: { status, reasons } } = found
    print(values.json ? text : [status, ...reasons.map((reason) => `  ${printable(reason)}`)].join('\n'))
    return status === 'unhealthy' ? 1 : 0
  }
})

type TlsValues = Parameters<typeof readClientTls>[0]

/** Null: plain HTTP. A text: what is wrong. */
function readTrust (values: TlsValues, tlsCert: string | null): ConnectionOptions | null | string {
  const given = readClientTls(values)
  if (typeof given === 'string') return given
  if (tlsCert === null && Object.keys(given).length === 0) return null
  const own = { ...given, allowPartialTrustChain: true, checkServerIdentity: () => undefined }
  if (given.ca !== undefined || tlsCert === null) return own
  try {
    return { ...own, ca: readFileSync(tlsCert, 'utf8') }
  } catch (error) {
    return `TLS_CERT ${tlsCert}: ${(error as Error).message}`
  }
}

async function ask (origin: string, token: string | null, timeoutMs: number): Promise<Found> {
  try {
    const { status, text } = await askApi(`${origin}/health`, timeoutMs, bearer(token))
    const answer = parse(text)
    const health = readHealth(answer)
    if (health !== null) return { text, health }
    return {
      problem: refusal(answer) ??
      `the server at ${origin} is not OrbitStream (status ${status}); check HOST and PORT`
    }
  } catch (error) {
    const cause = codeOf(error)
    return {
      problem: cause === 'TimeoutError'
        ? `no answer from ${origin} within ${timeoutMs / 1000} s`
        : `no server answers at ${origin}: ${describeCause(cause)}`
    }
  }
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Null: not a health response. */
function readHealth (answer: unknown): Health | null {
  if (typeof answer !== 'object' || answer === null || !('status' in answer)) return null
  const status = STATUSES.find((known) => known === answer.status)
  const reasons: unknown = 'reasons' in answer ? answer.reasons : []
  return status === undefined || !Array.isArray(reasons) ? null : { status, reasons: reasons.map(String) }
}

/** The error message of an OrbitStream that cannot report its health because it is starting or stopping. */
function refusal (answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return null
  const { error } = answer
  const message = typeof error === 'object' && error !== null && 'message' in error ? error.message : null
  return typeof message === 'string' ? printable(message) : null
}
