/**
 * Routes requests to handlers by method and path. A segment of a path may be a parameter (`/limits/{metric}`); it
 * matches any text that is not empty, and is decoded, so `%2F` is a slash within it:
 *
 *   404   unknown path
 *   405   unknown method; lists the others in Allow
 *   403   a change requested by a web page of a foreign origin
 *   401   a token is required, and there is no valid one
 *   403   the token does not have the role
 *   429   the client has sent too many requests
 *
 * OPTIONS is answered with Allow: paths and methods are not secret. Browsers get permission for allowed origins only.
 * The answer has a body, since uWebSockets.js may close the connection after one without (uws-exchange.ts). A handler
 * that throws is a programmer's error: the client gets 500 if possible, and the exception ends the process.
 */
import { CorsExchange, preflightHeaders } from './cors.js'
import { MsgpackExchange, acceptsMsgpack } from './msgpack-answers.js'
import { RouteCall } from './reply.js'
import type { Headers, HttpHandler, HttpRequest } from '../engines/engine.js'
import type { ErrorExtras } from '../engines/answers.js'
import type { OriginCheck } from '../engines/origins.js'
import type { Role } from '../../../access/token.js'
import type { Caller, DenialCode, TokenCheck } from './tokens.js'
import type { ClientBounds } from '../clients/client-bounds.js'
import type { HttpCounters, RouteCounters, RouteName } from './counters.js'

export type RouteHandler = (call: RouteCall) => void

export interface Route {
  /** Label of its requests in metrics. */
  readonly name: RouteName
  /** Handlers by method, upper case. GET also answers HEAD. */
  readonly methods: Readonly<Record<string, RouteHandler>>
  /** Reading needs no token; or not for some requests. */
  readonly open?: boolean | ((request: HttpRequest) => boolean)
  /** Role required for other methods. Default: operate. */
  readonly writer?: Role
  /** Answered however often it is asked for. */
  readonly unbounded?: boolean
}

/** By path, whose segments may be names in braces. Paths without any take precedence. */
export type RouteTable = Readonly<Record<string, Route>>

/** Decides who may read, and who may change something. */
export interface Checks {
  readonly tokens: TokenCheck
  readonly origins: OriginCheck
  /** Null: clients may send whatever they like. */
  readonly clients: ClientBounds | null
}

/** Safe methods, which change nothing. */
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

type Denial = DenialCode | 'foreign_origin'

interface Entry {
  readonly methods: ReadonlyMap<string, RouteHandler>
  readonly allow: string
  readonly counters: RouteCounters
  /** Reading needs no token. */
  readonly isOpen: (request: HttpRequest) => boolean
  readonly writer: Role
  readonly isBounded: boolean
}

export function createRouter (table: RouteTable, checks: Checks, counters: HttpCounters): HttpHandler {
  const paths = new Paths(table, counters)
  return (request, plainExchange) => {
    const origin = checks.origins.named(request)
    const named = origin === null ? plainExchange : new CorsExchange(plainExchange, origin)
    const exchange = acceptsMsgpack(request.header('accept')) ? new MsgpackExchange(named) : named
    const exact = paths.exact.get(request.path)
    const found = exact === undefined ? paths.find(request.path) : null
    const entry = exact ?? found?.entry
    if (entry === undefined) {
      const call = new RouteCall(request, exchange, counters.requests.unknown)
      if (request.method === 'OPTIONS' && request.path === '*') replyOptions(call, paths.allow)
      else call.fail('not_found')
      return
    }
    const handler = entry.methods.get(request.method)
    if (handler === undefined) {
      const call = new RouteCall(request, exchange, entry.counters)
      const { allow } = entry
      if (request.method === 'OPTIONS') {
        replyOptions(call, allow, origin === null ? [] : preflightHeaders(allow))
      } else {
        call.fail('method_not_allowed', { headers: [['allow', allow]] })
      }
      return
    }
    const caller = admit(checks, entry, request)
    const client = entry.isBounded && caller !== 'foreign_origin'
      ? checks.clients?.clientOf(request, typeof caller === 'string' ? null : caller) ?? null
      : null
    const retryAfterSeconds = client?.takeRequest() ?? 0
    const denial = retryAfterSeconds > 0 ? 'rate_limited' : caller
    if (typeof denial === 'string') {
      if (denial !== 'foreign_origin') counters.denied[denial]++
      const extras = denial === 'rate_limited' ? { retryAfterSeconds } : extrasOf(denial, entry, request)
      new RouteCall(request, exchange, entry.counters).fail(denial, extras)
      return
    }
    const call = new RouteCall(request, exchange, entry.counters, found?.parameters ?? [], denial, client)
    try {
      handler(call)
    } catch (error) {
      call.crash(error)
    }
  }
}

function replyOptions (call: RouteCall, allow: string, headers: Headers = []): void {
  call.reply(200, [['allow', allow], ['content-type', 'text/plain'], ...headers], `${allow}\n`)
}

/** The caller; null if no token is needed; a code if the request is denied. */
function admit ({ tokens, origins }: Checks, entry: Entry, request: HttpRequest): Caller | Denial | null {
  if (!READING.has(request.method) && !origins.passes(request)) return 'foreign_origin'
  const role = roleFor(entry, request)
  return role === null ? null : tokens.check(request, role)
}

/** Null: no token needed. */
function roleFor ({ isOpen, writer }: Entry, request: HttpRequest): Role | null {
  if (!READING.has(request.method)) return writer
  return isOpen(request) ? null : 'read'
}

function extrasOf (denial: Denial, entry: Entry, request: HttpRequest): ErrorExtras {
  if (denial === 'foreign_origin') return {}
  if (denial === 'unauthorized' || denial === 'token_expired') return { headers: [['www-authenticate', 'Bearer']] }
  return { message: `The token is valid, but lacks the required role: ${String(roleFor(entry, request))}.` }
}

/** The table, prepared for look-ups. */
class Paths {
  /** All methods of all paths. */
  readonly allow: string
  readonly exact = new Map<string, Entry>()
  private readonly patterns: Pattern[] = []

  constructor (table: RouteTable, counters: HttpCounters) {
    for (const [path, route] of Object.entries(table)) {
      const entry = entryOf(route, counters)
      if (path.includes('{')) this.patterns.push({ segments: path.split('/').map(literalOf), entry })
      else this.exact.set(path, entry)
    }
    const entries = [...this.exact.values(), ...this.patterns.map(({ entry }) => entry)]
    const methods = entries.flatMap((entry) => [...entry.methods.keys(), 'OPTIONS'])
    this.allow = [...new Set(methods)].join(', ')
  }

  find (path: string): { readonly entry: Entry, readonly parameters: readonly string[] } | null {
    const given = path.split('/')
    const pattern = this.patterns.find(({ segments }) => (
      segments.length === given.length && segments.every((literal, index) => (literal ?? given[index]) === given[index])
    ))
    if (pattern === undefined) return null
    const parameters = given.filter((_, index) => pattern.segments[index] === null).map(decode)
    return parameters.includes('') ? null : { entry: pattern.entry, parameters }
  }
}

/** A path with parameters. */
interface Pattern {
  /** Null: a parameter. */
  readonly segments: ReadonlyArray<string | null>
  readonly entry: Entry
}

function literalOf (segment: string): string | null {
  return segment.startsWith('{') ? null : segment
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
  const { name, open = false, writer = 'operate', unbounded = false } = route
  const allow = [...methods.keys(), 'OPTIONS'].join(', ')
  const isOpen = typeof open === 'function' ? open : () => open
  return { methods, allow, counters: counters.requests[name], isOpen, writer, isBounded: !unbounded }
}
