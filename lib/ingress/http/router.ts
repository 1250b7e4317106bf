/**
 * From path and method to a handler, by exact path: 404 for what is not in the table, 405 with Allow for other methods,
 * 401 for whatever changes something and carries no valid token.
 * A handler that throws has met a programmer's error: the client gets 500 if that is still possible, and the process
 * ends by the exception.
 */
import { replyError } from './reply.js'
import type { HttpExchange, HttpHandler, HttpRequest } from './engine.js'
import type { TokenCheck } from './tokens.js'
import type { HttpCounters, RouteCounters, RouteName } from './counters.js'

export type RouteHandler = (request: HttpRequest, exchange: HttpExchange, counters: RouteCounters) => void

export interface Route {
  /** Label of its requests in metrics. */
  readonly name: RouteName
  /** Method, upper case → handler. GET answers HEAD too. */
  readonly methods: Readonly<Record<string, RouteHandler>>
}

export type RouteTable = Readonly<Record<string, Route>>

/** Methods that change nothing: free for all. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD'])

interface Entry {
  readonly methods: ReadonlyMap<string, RouteHandler>
  readonly allow: string
  readonly counters: RouteCounters
}

export function createRouter (table: RouteTable, tokens: TokenCheck, counters: HttpCounters): HttpHandler {
  const entries = new Map(Object.entries(table).map(([path, route]) => [path, entryOf(route, counters)]))
  const unknown = counters.requests.unknown
  return (request, exchange) => {
    const entry = entries.get(request.path)
    if (entry === undefined) {
      replyError(exchange, unknown, 'not_found')
      return
    }
    const handler = entry.methods.get(request.method)
    if (handler === undefined) {
      replyError(exchange, entry.counters, 'method_not_allowed', { headers: [['allow', entry.allow]] })
      return
    }
    if (!READING.has(request.method) && !tokens.passes(request)) {
      replyError(exchange, entry.counters, 'unauthorized', { headers: [['www-authenticate', 'Bearer']] })
      return
    }
    try {
      handler(request, exchange, entry.counters)
    } catch (error) {
      crash(exchange, entry.counters, error)
    }
  }
}

/** Answers 500 and ends the process by `error`, once the answer has been handed to the system. */
export function crash (exchange: HttpExchange, counters: RouteCounters, error: unknown): void {
  replyError(exchange, counters, 'internal')
  // Not nextTick: answers are corked until this turn of the loop ends.
  setImmediate(() => { throw error })
}

function entryOf (route: Route, counters: HttpCounters): Entry {
  const methods = new Map(Object.entries(route.methods))
  const get = methods.get('GET')
  if (get !== undefined) methods.set('HEAD', get)
  return { methods, allow: [...methods.keys()].join(', '), counters: counters.requests[route.name] }
}
