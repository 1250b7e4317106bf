/**
 * The live page: its files, served from memory, each at its own path, and the index of the page at `/` for browsers.
 *
 * Nothing in it is secret, so it needs no token; it asks for one itself. Names have no version, so browsers ask each
 * time whether their copy is current (no-cache), and get 304 if it is.
 */
import { qualityOf } from '../engines/header-quality.js'
import { NOT_MODIFIED, type Headers, type HttpRequest } from '../engines/engine.js'
import type { Route, RouteHandler, RouteTable } from '../api/router.js'

/** A file as sent, plain and compressed. */
export interface PageFile {
  readonly name: string
  readonly contentType: string
  readonly plain: Buffer
  /** With gzip; null: no smaller. */
  readonly gzip: Buffer | null
  /** Digest of the content, in characters that need no quoting. */
  readonly digest: string
}

const INDEX = 'index.html'

/** Only what this server sends may run, be shown, or be asked; and no other page may frame this one. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'",
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
].join('; ')

const SECURITY_HEADERS: Headers = [
  ['content-security-policy', CONTENT_SECURITY_POLICY],
  ['x-content-type-options', 'nosniff'],
  ['referrer-policy', 'no-referrer'],
  ['cross-origin-opener-policy', 'same-origin'],
  ['cross-origin-resource-policy', 'same-origin']
]

/** One representation of a file, ready to be sent. */
interface Answer {
  readonly etag: string
  readonly headers: Headers
  readonly notModified: Headers
  readonly body: Buffer
}

/**
 * Routes of the files; `/` is the index, if there is one.
 * @param json the route of `/` for clients that do not prefer HTML
 */
export function createPageRoutes (files: readonly PageFile[], json: Route): RouteTable {
  const routes = files.filter(({ name }) => name !== INDEX).map((file): [string, Route] => (
    [`/${file.name}`, { name: 'page', open: true, methods: { GET: serve(file, 'accept-encoding') } }]
  ))
  const index = files.find(({ name }) => name === INDEX)
  return { ...Object.fromEntries(routes), '/': index === undefined ? json : withPage(index, json) }
}

function withPage (index: PageFile, json: Route): Route {
  const page = serve(index, 'accept, accept-encoding')
  return {
    ...json,
    open: prefersHtml,
    methods: { GET: (call) => (prefersHtml(call.request) ? page : json.methods['GET'])?.(call) }
  }
}

function prefersHtml (request: HttpRequest): boolean {
  const accept = request.header('accept')
  const html = qualityOf(accept, ['text/html'])
  return html > 0 && html >= qualityOf(accept, ['application/json'])
}

function serve ({ contentType, plain, gzip, digest }: PageFile, vary: string): RouteHandler {
  const plainAnswer = answerOf(contentType, vary, plain, digest, null)
  const gzipAnswer = gzip === null ? plainAnswer : answerOf(contentType, vary, gzip, `${digest}-gzip`, 'gzip')
  return (call) => {
    const { request } = call
    const answer = qualityOf(request.header('accept-encoding'), ['gzip']) > 0 ? gzipAnswer : plainAnswer
    if (matches(request.header('if-none-match'), answer.etag)) call.reply(NOT_MODIFIED, answer.notModified, '')
    else call.reply(200, answer.headers, answer.body)
  }
}

function answerOf (contentType: string, vary: string, body: Buffer, tag: string, encoding: string | null): Answer {
  const etag = `"${tag}"`
  const notModified: Headers = [['etag', etag], ['cache-control', 'no-cache'], ['vary', vary]]
  const encodings: Headers = encoding === null ? [] : [['content-encoding', encoding]]
  const headers = [['content-type', contentType] as const, ...encodings, ...notModified, ...SECURITY_HEADERS]
  return { etag, headers, notModified, body }
}

/** RFC 9110, 13.1.2: weak comparison with any of the tags. */
function matches (ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === '') return false
  return ifNoneMatch.split(',').some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')))
}
