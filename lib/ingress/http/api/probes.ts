/**
 * Probes for machines, which need no token: /live, /ready, and the status alone of /health.
 *
 *   /live    200 as long as this process answers, whatever the state of database and spool
 *   /ready   200 if a POST /telemetry would be accepted at this moment, otherwise 503
 *
 * The worker answers both by itself, without another process, so frequent probes cost next to nothing.
 */
import type { Intake } from '../../../pipeline/intake.js'
import type { Headers } from '../engines/engine.js'
import type { RouteTable } from './router.js'
import type { StatusAnswer } from './status-port.js'

const HEADERS: Headers = [['content-type', 'application/json'], ['cache-control', 'no-store']]

/** Also served while the server starts. */
export const LIVE_BODY = '{"status":"live"}'

export function createProbeRoutes (intake: Pick<Intake, 'refusal'>): RouteTable {
  return {
    '/live': {
      name: 'live',
      open: true,
      unbounded: true,
      methods: { GET: (call) => call.reply(200, HEADERS, LIVE_BODY) }
    },
    '/ready': {
      name: 'ready',
      open: true,
      unbounded: true,
      methods: {
        GET: (call) => {
          const refusal = intake.refusal('spooled')
          call.reply(refusal === null ? 200 : 503, HEADERS, readyBody(refusal?.code ?? 'ready'))
        }
      }
    }
  }
}

/** @param status `ready`, or the error code that points would be refused with */
export function readyBody (status: string): string {
  return JSON.stringify({ status })
}

/** The answer of /health to callers who may not read: the status only. */
export function withoutDetails (health: StatusAnswer): StatusAnswer {
  const { status } = JSON.parse(health.body) as { readonly status?: unknown }
  return status === undefined ? health : { ...health, body: JSON.stringify({ status }) }
}
