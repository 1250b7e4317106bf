/**
 * What an HTTP engine is asked at the start: requests as RFC 9112 allows them, each of which some binary of
 * uWebSockets.js answers wrongly, and requests that no server may serve. node:http passes all of them.
 */

/** One conversation, on a connection of its own. */
export interface CheckCase {
  /** What the engine can do if it passes, in the words of /health and the log. Several cases may ask for the same. */
  readonly name: string
  /** Written one after another, each when the one before has been read. @param path of the request, for this case alone */
  readonly pieces: (path: string) => readonly string[]
  /** Closes the sending side behind the last piece, before there is an answer. */
  readonly halfClose?: true
  /** Statuses of all answers, in order; otherwise `<path>/hidden` must not be served, and with 'none' nothing accepted. */
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

/** A head that nobody may serve, and when that is answered, what a server serves that ends the body too early. */
function refused (name: string, ...headers: readonly string[]): CheckCase[] {
  return headers.map((header) => ({ name, answers: 'none', pieces: (path) => [post(path, header, ''), hidden(path) + BODY] }))
}

/** A server that fails one of these serves requests that were hidden from whatever stands in front of it. */
export const SAFETY_CASES: readonly CheckCase[] = [
  ...refused('several lengths', `content-length: 0\r\ncontent-length: ${HIDDEN_LENGTH}`, `content-length: ${HIDDEN_LENGTH}\r\ncontent-length: 0`, 'content-length: 0, 200'),
  ...refused('lengths that are none', 'content-length:', 'content-length: +0', 'content-length: 0x0', 'content-length : 0', 'content-length: -1'),
  ...refused('a length beside chunks', 'content-length: 0\r\ntransfer-encoding: chunked', 'content-length: 0\r\ntransfer-encoding:', 'content-length:\r\ntransfer-encoding: chunked'),
  ...refused('other transfer codings', 'transfer-encoding: gzip', 'transfer-encoding: gzip, chunked', 'transfer-encoding: chunked\r\ntransfer-encoding: identity', 'transfer-encoding: xchunked'),
  { name: 'other transfer codings', answers: 'none', pieces: (path) => [post(path, 'transfer-encoding: gzip, chunked', '0\r\n\r\n')] },
  ...refused('several hosts', 'host: y\r\ncontent-length: 0'),
  ...refused('line breaks that are none', 'x: y\ncontent-length: 0', 'x: y\n content-length: 0', 'x: y\r content-length: 0'),
  { name: 'what stands behind chunks', answers: 'any', pieces: (path) => [chunked(path, `4\r\n${BODY}\r\n0\r\nxx${hidden(path)}`)] },
  { name: 'what stands behind chunks', answers: 'any', pieces: (path) => [chunked(path, `4\r\n${BODY}\r\n0\r\nxx`), hidden(path)] }
]

/** A server that fails one of these lets down the clients that need it, and harms nobody else. */
export const ABILITY_CASES: readonly CheckCase[] = [
  ...[2, 4, 6, 12, 18, 30].map((cut): CheckCase => (
    { name: 'heads in pieces', answers: [202], pieces: (path) => [simple(path).slice(0, cut), simple(path).slice(cut)] })),
  { name: 'HTTP/1.0', answers: [202], pieces: (path) => [post(path, 'content-length: 4', BODY, path, '1.0')] },
  { name: 'absolute-form targets', answers: [202], pieces: (path) => [post(path, 'content-length: 4', BODY, `http://x${path}`)] },
  { name: 'chunk extensions', answers: [202], pieces: (path) => [chunked(path, `4;name=value\r\n${BODY}\r\n0\r\n\r\n`)] },
  { name: 'trailers', answers: [202], pieces: (path) => [chunked(path, `4\r\n${BODY}\r\n0\r\nx-trailer: 1\r\n\r\n`)] },
  { name: 'pipelining', answers: [202, 202], pieces: (path) => [simple(path) + simple(path)] },
  { name: 'pipelining', answers: [202, 202], pieces: (path) => [simple(path), simple(path)] },
  { name: 'half-closed connections', answers: [202], halfClose: true, pieces: (path) => [simple(path)] },
  { name: 'empty lines before a request', answers: [202], pieces: (path) => [`\r\n${simple(path)}`] },
  { name: 'heads of 15 KB', answers: [202], pieces: (path) => [post(path, `content-length: 4\r\nx: ${'x'.repeat(15_000)}`, BODY)] },
  { name: '150 headers', answers: [202], pieces: (path) => [post(path, `content-length: 4\r\n${'x: y\r\n'.repeat(150)}z: z`, BODY)] },
  { name: 'an error for every malformed head', answers: [400], pieces: (path) => [post(path, 'no header\r\ncontent-length: 0', '')] }
]
