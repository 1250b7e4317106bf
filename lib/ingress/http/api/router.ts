/**
 * From path and method to a handler, by exact path, or by all but the last part of it (`/limits/{metric}`): 404 for
 * what is not in the table, 405 with Allow for other methods; 403 for whatever would change something and comes from
 * a page of a site that may not; 401 where a token is needed and there is no valid one, 403 where it has not the role.
 * OPTIONS is answered with Allow, and nothing that a browser would take for leave: paths and methods are no secret.
 * A handler that throws has met a programmer's error: the client gets 500 if that is still possible, and the process
 * ends by the exception.
 */
import { MsgpackExchange, acceptsMsgpack } from './msgpack-answers.js'
import { reply, replyError } from './reply.js'
import type { HttpExchange, HttpHandler, HttpRequest } from '../engines/engine.js'
import type { ErrorExtras } from './reply.js'
import type { OriginCheck } from '../engines/origins.js'
import type { Role } from '../../../access/token.js'
import type { Caller, DenialCode, TokenCheck } from './tokens.js'
import type { HttpCounters, RouteCounters, RouteName } from './counters.js'

/**
 * @param parameter what stands in the place of `{…}` in the route's path, decoded; '' where there is none
 * @param caller whose token allows it; null where none is needed
 */
export type RouteHandler = (request: HttpRequest, exchange: HttpExchange, counters: RouteCounters, parameter: string, caller: Caller | null) => void

export interface Route {
  /** Label of its requests in metrics. */
  readonly name: RouteName
  /** Method, upper case → handler. GET answers HEAD too. */
  readonly methods: Readonly<Record<string, RouteHandler>>
  /** Reading needs no token. */
  readonly open?: boolean
  /** Role of those who may send what changes something; without it: operate. */
  readonly writer?: Role
}

/** By path; the last part may be a name in braces and then stands for any text without a slash. Exact paths go first. */
export type RouteTable = Readonly<Record<string, Route>>

/** Who may read and change something. */
export interface Checks {
  readonly tokens: TokenCheck
  readonly origins: OriginCheck
}

/** Methods that change nothing. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

interface Entry {
  readonly methods: ReadonlyMap<string, RouteHandler>
  readonly allow: string
  readonly counters: RouteCounters
  /** Null: no token is needed. */
  readonly reader: Role | null
  readonly writer: Role
}

export function createRouter (table: RouteTable, { tokens, origins }: Checks, counters: HttpCounters): HttpHandler {
  const paths = new Paths(table, counters)
  const unknown = counters.requests.unknown
  return (request, plainExchange) => {
    const exchange = acceptsMsgpack(request.header('accept')) ? new MsgpackExchange(plainExchange) : plainExchange
    let parameter = ''
    let entry = paths.exact.get(request.path)
    if (entry === undefined) {
      const found = paths.findPrefix(request.path)
      parameter = found?.parameter ?? ''
      entry = found?.entry
    }
    if (entry === undefined) {
      if (request.method === 'OPTIONS' && request.path === '*') reply(exchange, unknown, 200, [['allow', paths.allow]], '')
      else replyError(exchange, unknown, 'not_found')
      return
    }
    const handler = entry.methods.get(request.method)
    if (handler === undefined) {
      const headers = [['allow', entry.allow]] as const
      if (request.method === 'OPTIONS') reply(exchange, entry.counters, 200, headers, '')
      else replyError(exchange, entry.counters, 'method_not_allowed', { headers })
      return
    }
    const reads = READING.has(request.method)
    if (!reads && !origins.passes(request)) {
      replyError(exchange, entry.counters, 'foreign_origin')
      return
    }
    const role = reads ? entry.reader : entry.writer
    const caller = role === null ? null : tokens.check(request, role)
    if (typeof caller === 'string') {
      counters.denied[caller]++
      replyError(exchange, entry.counters, caller, extrasOf(caller, role ?? ''))
      return
    }
    try {
      handler(request, exchange, entry.counters, parameter, caller)
    } catch (error) {
      crash(exchange, entry.counters, error)
    }
  }
}

function extrasOf (denial: DenialCode, role: string): ErrorExtras {
  if (denial === 'forbidden') return { message: `The token is valid, but does not have the role that this needs: ${role}.` }
  return { headers: [['www-authenticate', 'Bearer']] }
}

/** The table, made ready for look-ups. */
class Paths {
  /** Every method of any path. */
  readonly allow: string
  readonly exact = new Map<string, Entry>()
  /** By the text before the parameter, which ends with a slash. */
  private readonly prefixes = new Map<string, Entry>()

  constructor (table: RouteTable, counters: HttpCounters) {
    for (const [path, route] of Object.entries(table)) {
      const brace = path.indexOf('{')
      if (brace < 0) this.exact.set(path, entryOf(route, counters))
      else this.prefixes.set(path.slice(0, brace), entryOf(route, counters))
    }
    const methods = [...this.exact.values(), ...this.prefixes.values()].flatMap((entry) => [...entry.methods.keys(), 'OPTIONS'])
    this.allow = [...new Set(methods)].join(', ')
  }

  findPrefix (path: string): { readonly entry: Entry, readonly parameter: string } | null {
    const slash = path.lastIndexOf('/') + 1
    const entry = this.prefixes.get(path.slice(0, slash))
    const parameter = entry === undefined ? '' : decode(path.slice(slash))
    return entry === undefined || parameter === '' ? null : { entry, parameter }
  }
}

/** '' for text that does not decode: no path has it. */
function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
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
  const { open = false, writer = 'operate' } = route
  return { methods, allow: [...methods.keys(), 'OPTIONS'].join(', '), counters: counters.requests[route.name], reader: open ? null : 'read', writer }
}
