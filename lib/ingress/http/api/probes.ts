/**
 * What is asked by machines, and needs no token: /live, /ready, and of /health the status alone.
 *
 *   /live    this process answers: 200 as long as it does, whatever the database and the spool are like
 *   /ready   a POST /telemetry would be taken at this moment: 200; else 503
 *
 * Both are answered by the worker alone. Neither goes through another process, so asking often costs next to nothing.
 */
import { reply } from './reply.js'
import type { Intake } from '../../../pipeline/intake.js'
import type { Headers } from '../engines/engine.js'
import type { RouteHandler, RouteTable } from './router.js'
import type { StatusAnswer } from './status-port.js'

const HEADERS: Headers = [['content-type', 'application/json'], ['cache-control', 'no-store']]

/** What it answers as long as it answers; also while the server starts. */
export const LIVE_BODY = '{"status":"live"}'

export function createProbeRoutes (intake: Pick<Intake, 'refusal'>): RouteTable {
  return {
    '/live': { name: 'live', open: true, methods: { GET: (_request, exchange, counters) => reply(exchange, counters, 200, HEADERS, LIVE_BODY) } },
    '/ready': { name: 'ready', open: true, methods: { GET: createReadyRoute(intake) } }
  }
}

function createReadyRoute (intake: Pick<Intake, 'refusal'>): RouteHandler {
  return (_request, exchange, counters) => {
    const refusal = intake.refusal('spooled')
    reply(exchange, counters, refusal === null ? 200 : 503, HEADERS, readyBody(refusal?.code ?? 'ready'))
  }
}

/** @param status `ready`, or the code of the error that a point would be answered with */
export function readyBody (status: string): string {
  return JSON.stringify({ status })
}

/** The answer of /health for those who may not read: whether points are taken, not how it is inside. */
export function withoutDetails (health: StatusAnswer): StatusAnswer {
  const { status } = JSON.parse(health.body) as { readonly status?: unknown }
  return status === undefined ? health : { ...health, body: JSON.stringify({ status }) }
}
