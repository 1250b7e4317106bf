/**
 * The cases that check an HTTP engine at startup: requests allowed by RFC 9112, each of which some binary of
 * uWebSockets.js answers wrongly, and requests that no server may serve. node:http passes all of them.
 */

/** One conversation, on a separate connection. */
export interface CheckCase {
  /** The ability it checks, as shown by /health and the log. Several cases may share a name. */
  readonly name: string
  /** Written in order, each once the previous one has been read. @param path of the request, unique to this case */
  readonly pieces: (path: string) => readonly string[]
  /** Half-closes the connection after the last piece, before the answer. */
  readonly halfClose?: true
  /**
   * Statuses of all answers, in order. Or 'any': `<path>/hidden` must not be served; 'none': nor anything be accepted.
   */
  readonly answers: readonly number[] | 'none' | 'any'
}

const BODY = 'body'
const HIDDEN_LENGTH = 200

function post (path: string, headers: string, body: string, target = path, version = '1.1'): string {
  return `POST ${target} HTTP/${version}\r\nhost: x\r\n${headers}\r\n\r\n${body}`
}

function simple (path: string): string {
  return post(path, `content-length: ${BODY.length}`, BODY)
}

function chunked (path: string, chunks: string): string {
  return post(path, 'transfer-encoding: chunked', chunks)
}

function hidden (path: string): string {
  return `GET ${path}/hidden HTTP/1.1\r\nhost: x\r\n\r\n`
}

/** Heads that no server may serve, each followed by a request that is only served if the body is taken to end early. */
function refused (name: string, ...headers: readonly string[]): CheckCase[] {
  return headers.map((header) => (
    { name, answers: 'none', pieces: (path) => [post(path, header, ''), hidden(path) + BODY] }
  ))
}

function accepted (name: string, ...pieces: ReadonlyArray<(path: string) => string>): CheckCase {
  return { name, answers: [202], pieces: (path) => pieces.map((piece) => piece(path)) }
}

/** A server that fails one of these is open to request smuggling. */
export const SAFETY_CASES: readonly CheckCase[] = [
  ...refused(
    'several lengths',
    `content-length: 0\r\ncontent-length: ${HIDDEN_LENGTH}`,
    `content-length: ${HIDDEN_LENGTH}\r\ncontent-length: 0`,
    'content-length: 0, 200'
  ),
  ...refused(
    'invalid lengths',
    'content-length:', 'content-length: +0', 'content-length: 0x0', 'content-length : 0', 'content-length: -1'
  ),
  ...refused(
    'a length together with chunks',
    'content-length: 0\r\ntransfer-encoding: chunked',
    'content-length: 0\r\ntransfer-encoding:',
    'content-length:\r\ntransfer-encoding: chunked'
  ),
  ...refused(
    'other transfer codings',
    'transfer-encoding: gzip',
    'transfer-encoding: gzip, chunked',
    'transfer-encoding: chunked\r\ntransfer-encoding: identity',
    'transfer-encoding: xchunked'
  ),
  {
    name: 'other transfer codings',
    answers: 'none',
    pieces: (path) => [post(path, 'transfer-encoding: gzip, chunked', '0\r\n\r\n')]
  },
  ...refused('several hosts', 'host: y\r\ncontent-length: 0'),
  ...refused(
    'invalid line breaks',
    'x: y\ncontent-length: 0', 'x: y\n content-length: 0', 'x: y\r content-length: 0'
  ),
  {
    name: 'garbage after chunks',
    answers: 'any',
    pieces: (path) => [chunked(path, `4\r\n${BODY}\r\n0\r\nxx${hidden(path)}`)]
  },
  {
    name: 'garbage after chunks',
    answers: 'any',
    pieces: (path) => [chunked(path, `4\r\n${BODY}\r\n0\r\nxx`), hidden(path)]
  }
]

/** A server that fails one of these is unusable for clients that need it, but harms nobody else. */
export const ABILITY_CASES: readonly CheckCase[] = [
  ...[2, 4, 6, 12, 18, 30].map((cut) => (
    accepted('heads in pieces', (path) => simple(path).slice(0, cut), (path) => simple(path).slice(cut))
  )),
  accepted('HTTP/1.0', (path) => post(path, 'content-length: 4', BODY, path, '1.0')),
  accepted('absolute-form targets', (path) => post(path, 'content-length: 4', BODY, `http://x${path}`)),
  accepted('chunk extensions', (path) => chunked(path, `4;name=value\r\n${BODY}\r\n0\r\n\r\n`)),
  accepted('trailers', (path) => chunked(path, `4\r\n${BODY}\r\n0\r\nx-trailer: 1\r\n\r\n`)),
  { name: 'pipelining', answers: [202, 202], pieces: (path) => [simple(path) + simple(path)] },
  { name: 'pipelining', answers: [202, 202], pieces: (path) => [simple(path), simple(path)] },
  { ...accepted('half-closed connections', simple), halfClose: true },
  accepted('empty lines before a request', (path) => `\r\n${simple(path)}`),
  accepted('heads of 15 KB', (path) => post(path, `content-length: 4\r\nx: ${'x'.repeat(15_000)}`, BODY)),
  accepted('150 headers', (path) => post(path, `content-length: 4\r\n${'x: y\r\n'.repeat(150)}z: z`, BODY)),
  {
    name: 'an error for every malformed head',
    answers: [400],
    pieces: (path) => [post(path, 'no header\r\ncontent-length: 0', '')]
  }
]
