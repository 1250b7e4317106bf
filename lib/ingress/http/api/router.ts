/**
 * Routes requests to handlers by method and path, either the exact path, or all but its last segment
 * (`/limits/{metric}`):
 *
 *   404   unknown path
 *   405   unknown method; lists the others in Allow
 *   403   a change requested by a web page of a foreign origin
 *   401   a token is required, and there is no valid one
 *   403   the token does not have the role
 *
 * OPTIONS is answered with Allow, but without anything that browsers would take as permission: paths and methods are no
 * secret. A handler that throws is a programmer's error: the client gets 500 if possible, and the exception ends the
 * process.
 */
import { MsgpackExchange, acceptsMsgpack } from './msgpack-answers.js'
import { RouteCall } from './reply.js'
import type { HttpHandler, HttpRequest } from '../engines/engine.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { OriginCheck } from '../engines/origins.js'
import type { Role } from '../../../access/token.js'
import type { Caller, DenialCode, TokenCheck } from './tokens.js'
import type { HttpCounters, RouteCounters, RouteName } from './counters.js'

export type RouteHandler = (call: RouteCall) => void

export interface Route {
  /** Label of its requests in metrics. */
  readonly name: RouteName
  /** Handlers by method, upper case. GET also answers HEAD. */
  readonly methods: Readonly<Record<string, RouteHandler>>
  /** Reading needs no token. */
  readonly open?: boolean
  /** Role required for other methods. Default: operate. */
  readonly writer?: Role
}

/** By path, whose last segment may be a name in braces, which matches any text. Exact paths take precedence. */
export type RouteTable = Readonly<Record<string, Route>>

/** Decides who may read, and who may change something. */
export interface Checks {
  readonly tokens: TokenCheck
  readonly origins: OriginCheck
}

/** Safe methods, which change nothing. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

type Denial = DenialCode | 'foreign_origin'

interface Entry {
  readonly methods: ReadonlyMap<string, RouteHandler>
  readonly allow: string
  readonly counters: RouteCounters
  /** Null: no token needed. */
  readonly reader: Role | null
  readonly writer: Role
}

export function createRouter (table: RouteTable, checks: Checks, counters: HttpCounters): HttpHandler {
  const paths = new Paths(table, counters)
  return (request, plainExchange) => {
    const exchange = acceptsMsgpack(request.header('accept')) ? new MsgpackExchange(plainExchange) : plainExchange
    const exact = paths.exact.get(request.path)
    const prefixed = exact === undefined ? paths.findPrefix(request.path) : null
    const entry = exact ?? prefixed?.entry
    if (entry === undefined) {
      const call = new RouteCall(request, exchange, counters.requests.unknown)
      if (request.method === 'OPTIONS' && request.path === '*') call.reply(200, [['allow', paths.allow]], '')
      else call.fail('not_found')
      return
    }
    const handler = entry.methods.get(request.method)
    if (handler === undefined) {
      const call = new RouteCall(request, exchange, entry.counters)
      const headers = [['allow', entry.allow]] as const
      if (request.method === 'OPTIONS') call.reply(200, headers, '')
      else call.fail('method_not_allowed', { headers })
      return
    }
    const caller = admit(checks, entry, request)
    if (typeof caller === 'string') {
      if (caller !== 'foreign_origin') counters.denied[caller]++
      new RouteCall(request, exchange, entry.counters).fail(caller, extrasOf(caller, entry, request))
      return
    }
    const call = new RouteCall(request, exchange, entry.counters, prefixed?.parameter ?? '', caller)
    try {
      handler(call)
    } catch (error) {
      call.crash(error)
    }
  }
}

/** The caller; null if no token is needed; a code if the request is denied. */
function admit ({ tokens, origins }: Checks, entry: Entry, request: HttpRequest): Caller | Denial | null {
  if (!READING.has(request.method) && !origins.passes(request)) return 'foreign_origin'
  const role = roleFor(entry, request)
  return role === null ? null : tokens.check(request, role)
}

/** Null: no token needed. */
function roleFor ({ reader, writer }: Entry, { method }: HttpRequest): Role | null {
  return READING.has(method) ? reader : writer
}

function extrasOf (denial: Denial, entry: Entry, request: HttpRequest): ErrorExtras {
  if (denial === 'foreign_origin') return {}
  if (denial !== 'forbidden') return { headers: [['www-authenticate', 'Bearer']] }
  return { message: `The token is valid, but lacks the required role: ${String(roleFor(entry, request))}.` }
}

/** The table, prepared for look-ups. */
class Paths {
  /** All methods of all paths. */
  readonly allow: string
  readonly exact = new Map<string, Entry>()
  /** By the path before the parameter, including its final slash. */
  private readonly prefixes = new Map<string, Entry>()

  constructor (table: RouteTable, counters: HttpCounters) {
    for (const [path, route] of Object.entries(table)) {
      const brace = path.indexOf('{')
      if (brace < 0) this.exact.set(path, entryOf(route, counters))
      else this.prefixes.set(path.slice(0, brace), entryOf(route, counters))
    }
    const entries = [...this.exact.values(), ...this.prefixes.values()]
    const methods = entries.flatMap((entry) => [...entry.methods.keys(), 'OPTIONS'])
    this.allow = [...new Set(methods)].join(', ')
  }

  findPrefix (path: string): { readonly entry: Entry, readonly parameter: string } | null {
    const slash = path.lastIndexOf('/') + 1
    const entry = this.prefixes.get(path.slice(0, slash))
    const parameter = entry === undefined ? '' : decode(path.slice(slash))
    return entry === undefined || parameter === '' ? null : { entry, parameter }
  }
}

/** '' if the text cannot be decoded, which matches no path. */
function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}

function entryOf (route: Route, counters: HttpCounters): Entry {
  const methods = new Map(Object.entries(route.methods))
  const get = methods.get('GET')
  if (get !== undefined) methods.set('HEAD', get)
  const { name, open = false, writer = 'operate' } = route
  const allow = [...methods.keys(), 'OPTIONS'].join(', ')
  return { methods, allow, counters: counters.requests[name], reader: open ? null : 'read', writer }
}
