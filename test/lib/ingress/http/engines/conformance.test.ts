/**
 * RFC 9110 and 9112 as a table, byte for byte, on both engines.
 *
 * What an engine cannot do (`needs`) is taken from its self-check, so that this suite and /health cannot disagree. Both
 * engines, whatever they can do, never serve a hidden request, and answer stored points with 202.
 */
import { request } from 'undici'
import { REFUSALS } from '../../../../../lib/ingress/http/engines/engine.js'
import { checkEngine } from '../../../../../lib/ingress/http/engines/self-check/engine-check.js'
import { POINT, RawClient, onBothEngines, startRig } from './rig.js'
import type { Test } from 'tap'
import type { ErrorCode } from '../../../../../lib/support/errors.js'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import type { EngineFindings } from '../../../../../lib/ingress/http/engines/self-check/engine-check.js'
import type { Rig } from './rig.js'

interface Case {
  readonly name: string
  /** Each is written once the previous one has been read. */
  readonly sent: string | readonly string[]
  /** Statuses other than 100, in order. */
  readonly answers: readonly number[]
  /** Code of the last answer. */
  readonly code?: ErrorCode
  readonly closes?: true
  /** Half-closes the connection after the last piece. */
  readonly halfClose?: true
  /** An ability that the engine needs, as named by its self-check. */
  readonly needs?: string
  /** Refused by the parser of uWebSockets.js, with its own answer. */
  readonly byParser?: true
  /** Not counted as a refusal, since it reaches its route. */
  readonly uncounted?: true
  /** If the engine lacks the ability, the answer may be missing although the point is stored. */
  readonly mayLose?: true
}

const ERRORS_NEEDED = 'an error for every malformed head'
const LENGTH = `content-length: ${POINT.length}`
const CHUNKED = 'transfer-encoding: chunked'
/** Replaced by the id of each case. */
const ID = 'SAT-0001'
const HIDDEN = `GET /udp/senders?sender=${ID} HTTP/1.1\r\nhost: x\r\n\r\n`
const CHUNK = `${POINT.length.toString(16)}\r\n${POINT}\r\n`
const PLAIN = post(LENGTH)

interface Line {
  readonly target?: string
  readonly version?: string
  readonly host?: string
}

function post (headers: string, body = POINT, line: Line = {}): string {
  const { target = '/telemetry', version = '1.1', host = 'host: x\r\n' } = line
  return `POST ${target} HTTP/${version}\r\n${host}${headers}\r\n\r\n${body}`
}

function get (target: string, method = 'GET', headers = ''): string {
  return `${method} ${target} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`
}

function caseOf (
  name: string, sent: Case['sent'], answers: readonly number[], more: Partial<Case> = {}
): Case {
  return { name, sent, answers, ...more }
}

const SERVED: readonly Case[] = [
  caseOf('a point', PLAIN, [202]),
  caseOf('two in sequence', [get('/', 'HEAD'), get('/')], [200, 200]),
  caseOf('chunks', post(CHUNKED, `${CHUNK}0\r\n\r\n`), [202]),
  caseOf('chunks in pieces', [post(CHUNKED, CHUNK.slice(0, 9)), CHUNK.slice(9), '0\r\n\r\n'], [202]),
  caseOf(
    'chunk sizes in upper case and with zeros',
    post(CHUNKED, `00${POINT.length.toString(16).toUpperCase()}\r\n${POINT}\r\n000\r\n\r\n`), [202]
  ),
  caseOf(
    'chunk extensions', post(CHUNKED, CHUNK.replace('\r\n', ';a=b;c="d"\r\n') + '0;e\r\n\r\n'), [202],
    { needs: 'chunk extensions' }
  ),
  caseOf('trailers', post(CHUNKED, `${CHUNK}0\r\nx-trailer: 1\r\n\r\n`), [202], { needs: 'trailers' }),
  caseOf(
    'trailers in a later piece', [post(CHUNKED, `${CHUNK}0\r\n`), 'x-trailer: 1\r\n\r\n'], [202], { needs: 'trailers' }
  ),
  caseOf('HTTP/1.0', post(LENGTH, POINT, { version: '1.0' }), [202], { closes: true, needs: 'HTTP/1.0' }),
  caseOf(
    'persistent HTTP/1.0',
    Array<string>(2).fill(post(`connection: keep-alive\r\n${LENGTH}`, POINT, { version: '1.0' })), [202, 202],
    { needs: 'HTTP/1.0' }
  ),
  caseOf(
    'HTTP/1.0 without Host', post(LENGTH, POINT, { version: '1.0', host: '' }), [202],
    { closes: true, needs: 'HTTP/1.0' }
  ),
  caseOf(
    'HTTP/1.0 with chunks, which it does not have',
    post(`connection: keep-alive\r\n${CHUNKED}`, `${CHUNK}0\r\n\r\n`, { version: '1.0' }), [202],
    { closes: true, needs: 'HTTP/1.0' }
  ),
  caseOf(
    'an absolute-form target', post(LENGTH, POINT, { target: 'http://other:81/telemetry?ack=spooled' }), [202],
    { needs: 'absolute-form targets' }
  ),
  caseOf('an absolute-form target without a path', get('HTTP://x'), [200], { needs: 'absolute-form targets' }),
  caseOf(
    'the host of an absolute-form target takes precedence',
    post(`origin: http://x\r\n${LENGTH}`, POINT, { target: 'http://other/telemetry' }), [403],
    { needs: 'absolute-form targets' }
  ),
  caseOf('OPTIONS', [get('/telemetry', 'OPTIONS'), PLAIN], [200, 202]),
  caseOf('OPTIONS *', get('*', 'OPTIONS'), [200], { needs: 'absolute-form targets' }),
  caseOf('HEAD', [get('/health', 'HEAD'), PLAIN], [200, 202]),
  caseOf(
    'half-closed', PLAIN, [202], { halfClose: true, closes: true, needs: 'half-closed connections', mayLose: true }
  ),
  caseOf(
    'half-closed, with Connection: close', post(`connection: close\r\n${LENGTH}`), [202],
    { halfClose: true, closes: true }
  ),
  caseOf(
    'half-closed GET, with Connection: close', get('/health', 'GET', 'Connection: Close\r\n'), [200],
    { halfClose: true, closes: true }
  ),
  caseOf('half-closed after chunks', post(CHUNKED, `${CHUNK}0\r\n\r\n`), [202], { halfClose: true, closes: true }),
  caseOf('two in one write', PLAIN + PLAIN, [202, 202], { needs: 'pipelining' }),
  caseOf('two without waiting', [PLAIN, PLAIN], [202, 202], { needs: 'pipelining', mayLose: true }),
  caseOf('three answered at once', get('/').repeat(3), [200, 200, 200]),
  caseOf('an empty line before a request', `\r\n${PLAIN}`, [202], { needs: 'empty lines before a request' }),
  caseOf(
    'an empty line after the body', [`${PLAIN}\r\n`, PLAIN], [202, 202], { needs: 'empty lines before a request' }
  ),
  caseOf(
    'an empty line after the last body', [post(`connection: close\r\n${LENGTH}`), '\r\n'], [202], { closes: true }
  ),
  caseOf('a head of 5 KB', post(`x: ${'x'.repeat(5_000)}\r\n${LENGTH}`), [202]),
  caseOf('a head of 15 KB', post(`x: ${'x'.repeat(15_000)}\r\n${LENGTH}`), [202], { needs: 'heads of 15 KB' }),
  caseOf('150 headers', post('x: y\r\n'.repeat(150) + LENGTH), [202], { needs: '150 headers' }),
  caseOf('Expect: 100-continue', [post(`expect: 100-Continue\r\n${LENGTH}`, ''), POINT], [202]),
  caseOf('an offer to upgrade', post(`connection: upgrade\r\nupgrade: h2c\r\n${LENGTH}`), [202]),
  caseOf('a page from this server', post(`origin: https://X\r\n${LENGTH}`), [202]),
  caseOf('a page of a foreign origin that reads', get('/', 'GET', 'origin: http://y\r\n'), [200])
]

/** A head that is refused, followed by a hidden request, in one write and after the answer. */
function refused (name: string, headers: string, code: ErrorCode, more: Partial<Case> = {}): Case[] {
  const head = post(headers, '')
  const rest = { answers: [400], code, closes: true, ...more } as const
  return [
    { name: `${name}, in one write`, sent: head + HIDDEN, ...rest },
    { name: `${name}, the rest later`, sent: [head, HIDDEN + POINT], ...rest },
    { name: `${name}, and the body`, sent: head + POINT, ...rest }
  ]
}

const MALFORMED = { byParser: true, needs: ERRORS_NEEDED } as const

const REFUSED: readonly Case[] = [
  ...refused('two lengths', `content-length: 0\r\n${LENGTH}`, 'malformed_request'),
  ...refused('two lengths, the larger first', `${LENGTH}\r\nContent-Length: 0`, 'malformed_request'),
  ...refused('the same length twice', 'content-length: 0\r\ncontent-length: 0', 'malformed_request'),
  ...refused('a list of lengths', 'content-length: 0, 0', 'malformed_request'),
  ...['+0', '-0', '0x0', '1e2', ''].flatMap((length) => (
    refused(`a length of "${length}"`, `content-length: ${length}`, 'malformed_request')
  )),
  ...refused('a length, then chunks', `content-length: 0\r\n${CHUNKED}`, 'unsupported_transfer_encoding', {
    byParser: true
  }),
  ...refused('chunks, then a length', `${CHUNKED}\r\ncontent-length: 0`, 'malformed_request', { byParser: true }),
  ...refused('gzip as a transfer coding', 'transfer-encoding: gzip', 'unsupported_transfer_encoding'),
  ...refused('gzip before chunks', 'transfer-encoding: gzip, chunked', 'unsupported_transfer_encoding'),
  ...refused('another coding after chunked', 'transfer-encoding: chunked, identity', 'unsupported_transfer_encoding'),
  ...refused('two hosts', 'host: y\r\ncontent-length: 0', 'malformed_request'),
  ...refused('the same host twice', 'Host: x\r\ncontent-length: 0', 'malformed_request'),
  ...refused('another expectation', 'expect: 200-ok\r\ncontent-length: 0', 'expectation_failed', { answers: [417] }),
  ...refused('a bare line feed', `x: y\ncontent-length: 0\r\n${LENGTH}`, 'malformed_request', MALFORMED),
  ...refused('a bare carriage return', `x: y\rcontent-length: 0\r\n${LENGTH}`, 'malformed_request', MALFORMED),
  ...refused('a folded line', 'x: y\r\n content-length: 0', 'malformed_request', MALFORMED),
  ...refused('a space before the colon', 'content-length : 0', 'malformed_request', MALFORMED),
  ...refused('a NUL', 'x: \0\r\ncontent-length: 0', 'malformed_request', MALFORMED),
  ...refused('no colon', 'x\r\ncontent-length: 0', 'malformed_request', MALFORMED),
  caseOf(
    'line feeds only', PLAIN.replaceAll('\r\n', '\n'), [400], { code: 'malformed_request', closes: true, ...MALFORMED }
  ),
  caseOf(
    'no Host', post(LENGTH, POINT, { host: '' }), [400], { code: 'malformed_request', closes: true, byParser: true }
  ),
  caseOf(
    'a head of 17 KB', post(`x: ${'x'.repeat(17_000)}\r\n${LENGTH}`), [431],
    { code: 'head_too_large', closes: true, byParser: true }
  ),
  caseOf(
    'a target of 17 KB', get(`/${'x'.repeat(17_000)}`), [431], { code: 'head_too_large', closes: true, byParser: true }
  ),
  caseOf(
    'HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400], { code: 'malformed_request', closes: true, ...MALFORMED }
  ),
  caseOf(
    'HTTP/1.2', post(LENGTH, POINT, { version: '1.2' }), [400],
    { code: 'malformed_request', closes: true, ...MALFORMED }
  ),
  caseOf(
    'CONNECT', 'CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n', [400],
    { code: 'malformed_request', closes: true, ...MALFORMED }
  ),
  caseOf(
    'a chunk without a size', post(CHUNKED, 'zz\r\n'), [400],
    { code: 'malformed_request', closes: true, byParser: true, uncounted: true }
  ),
  caseOf(
    'a chunk size that is too large', post(CHUNKED, `${'f'.repeat(17)}\r\n`), [400],
    { code: 'malformed_request', closes: true, byParser: true, uncounted: true }
  ),
  caseOf(
    'invalid chunks', [post(CHUNKED, CHUNK), 'zz\r\n'], [400],
    { code: 'malformed_request', closes: true, byParser: true, uncounted: true }
  ),
  caseOf(
    'a truncated body', post(LENGTH, POINT.slice(1)), [400],
    { halfClose: true, code: 'malformed_request', closes: true, needs: 'half-closed connections', uncounted: true }
  ),
  caseOf(
    'a truncated head', PLAIN.slice(0, 30), [400],
    { halfClose: true, code: 'malformed_request', closes: true, needs: 'half-closed connections' }
  ),
  caseOf(
    'nonsense after a request', `${PLAIN}nonsense\r\n\r\n`, [202, 400],
    { code: 'malformed_request', closes: true, needs: 'pipelining' }
  ),
  caseOf(
    'nonsense after a pending request', [PLAIN, 'nonsense\r\n\r\n'], [202, 400],
    { code: 'malformed_request', closes: true, needs: 'pipelining', mayLose: true }
  ),
  caseOf(
    'nonsense after a refused body', [post(LENGTH.replace(/\d+/, '99999999'), ''), 'x'], [413],
    { code: 'body_too_large', closes: true, uncounted: true }
  ),
  caseOf(
    'a short body that is refused', [post('content-type: text/html\r\ncontent-length: 100000'), 'x'], [415],
    { code: 'unsupported_media_type' }
  ),
  caseOf(
    'garbage after chunks', post(CHUNKED, `${CHUNK}0\r\nxx${HIDDEN}`), [400], { closes: true, needs: ERRORS_NEEDED }
  ),
  caseOf(
    'garbage after chunks, in a later piece', [post(CHUNKED, `${CHUNK}0\r\nxx`), HIDDEN], [400],
    { closes: true, needs: ERRORS_NEEDED }
  ),
  caseOf('a page of a foreign origin', [post(`origin: http://y\r\n${LENGTH}`)], [403], { code: 'foreign_origin' }),
  caseOf(
    'a page from another port of this machine', post(`origin: http://x:81\r\n${LENGTH}`), [403],
    { code: 'foreign_origin' }
  ),
  caseOf('a page that hides its origin', post(`origin: null\r\n${LENGTH}`), [403], { code: 'foreign_origin' }),
  caseOf(
    'a page of a foreign origin that changes limits',
    get('/limits', 'PUT', 'origin: http://y\r\ncontent-length: 0\r\n'), [404], { code: 'not_found' }
  )
]

/** Once it resolves, everything written before has been read, and answered unless the answer waits for something. */
async function goRound (rig: Rig): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await (await request(rig.origin)).body.dump()
}

/** One case on its own connection. */
class Conversation {
  readonly pieces: readonly string[]

  constructor (readonly subject: Case, readonly id: string, readonly client: RawClient) {
    this.pieces = [subject.sent].flat().map((piece) => piece.replaceAll(ID, id))
    client.socket.setNoDelay(true)
  }

  take (step: number): void {
    const piece = this.pieces[step]
    if (piece !== undefined && this.client.socket.writable) this.client.write(piece)
  }

  get statuses (): number[] {
    const codes = [...this.client.unread.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code))
    return codes.filter((code) => code !== 100)
  }
}

/** All concurrently; points are acknowledged once everything has been sent. */
async function converse (t: Test, rig: Rig, cases: readonly Case[]): Promise<Conversation[]> {
  rig.intake.hold = true
  const conversations = await Promise.all(cases.map(async (each, index) =>
    new Conversation(each, `SAT-${String(index + 2).padStart(4, '0')}`, await RawClient.open(t, rig.server.port))))
  const steps = Math.max(...conversations.map(({ pieces }) => pieces.length))
  await goRound(rig)
  for (let step = 0; step < steps; step++) {
    for (const each of conversations) each.take(step)
    await goRound(rig)
  }
  for (const { subject, client } of conversations) if (subject.halfClose === true) client.socket.end()
  await goRound(rig)
  // A pipelining client may offer more once the first is acknowledged.
  for (let turn = 0; turn < 2; turn++) {
    rig.intake.release()
    await goRound(rig)
  }
  return conversations
}

async function judge (
  t: Test, { intake, status }: Rig, engine: HttpEngine, findings: EngineFindings, conversation: Conversation
): Promise<void> {
  const { subject, id, client, statuses } = conversation
  const { name, needs } = subject
  const stored = intake.offers.filter(({ ids }) => ids.includes(id)).length
  const lacks = needs !== undefined && findings.cannot.includes(needs)
  t.notOk(status.queries.some(({ sender }) => sender === id), `${name}: the hidden request is not served`)
  if (!lacks || subject.mayLose !== true) {
    const accepted = statuses.filter((code) => code === 202).length
    t.equal(stored, accepted, `${name}: stored points are answered`)
  }
  if (lacks) return
  t.same(statuses, subject.answers, `${name}: ${client.unread}`)
  // uWebSockets.js reads nothing more after chunks.
  const isChunked = [subject.sent].flat().some((piece) => piece.includes(CHUNKED))
  if (subject.closes === true || (engine.name === 'uws' && isChunked)) await client.waitForEnd()
  else t.notOk(client.socket.readableEnded, `${name}: the connection stays usable`)
  if (subject.code === undefined || isOwn(engine, subject)) return
  t.match(client.unread, new RegExp(`\\r\\n\\r\\n\\{"error":\\{"code":"${subject.code}".*\\}\\}\\s*$`), name)
}

/** Whether the engine sends its own answer. */
function isOwn (engine: HttpEngine, subject: Case): boolean {
  return subject.byParser === true && engine.name === 'uws'
}

onBothEngines('RFC 9112', async (t, engine) => {
  const findings = await checkEngine(engine)
  if (engine.name === 'node') t.same(findings, { unsafe: [], cannot: [] })
  const rig = await startRig(t, engine)
  const conversations = await converse(t, rig, [...SERVED, ...REFUSED])
  for (const each of conversations) await judge(t, rig, engine, findings, each)
  const isCounted = ({ closes, uncounted, needs }: Case): boolean => (
    closes === true && uncounted !== true && (needs === undefined || !findings.cannot.includes(needs))
  )
  const refusals = conversations
    .map(({ subject }) => subject)
    .filter((subject) => isCounted(subject) && !isOwn(engine, subject))
  for (const code of REFUSALS) {
    t.equal(rig.counters.refused[code], refusals.filter((each) => each.code === code).length, `${code} is counted`)
  }
})

onBothEngines('a request cut at every byte', async (t, engine) => {
  const { cannot } = await checkEngine(engine)
  const rig = await startRig(t, engine)
  const { port } = rig.server
  const clients = await Promise.all(Array.from({ length: PLAIN.length - 1 }, async () => await RawClient.open(t, port)))
  await goRound(rig)
  clients.forEach((client, index) => client.write(PLAIN.slice(0, index + 1)))
  await goRound(rig)
  clients.forEach((client, index) => { if (client.socket.writable) client.write(PLAIN.slice(index + 1)) })
  await goRound(rig)
  const accepted = clients.filter((client) => client.unread.startsWith('HTTP/1.1 202 ')).length
  t.equal(rig.intake.offers.length, accepted, 'stored points are answered')
  if (!cannot.includes('heads in pieces')) t.equal(accepted, clients.length)
  else t.ok(accepted >= clients.length - PLAIN.indexOf('\r\n'), 'a request cut after its first line is served')
})

onBothEngines('a thousand in one write', async (t, engine) => {
  const { cannot } = await checkEngine(engine)
  const { intake, server, counters } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  const bodies = Array.from({ length: 1_000 }, (_, index) => `{"satellite_id":"S-${index}","storage_usage_mb":1}`)
  client.write(bodies.map((body) => post(`content-length: ${body.length}`, body)).join(''))
  if (cannot.includes('pipelining')) {
    await client.waitForEnd()
    t.equal(intake.offers.length, counters.requests.telemetry.ok, 'unanswered points are not stored')
    return
  }
  for (let index = 0; index < bodies.length; index++) {
    const { status, text } = await client.answer()
    if (status !== 202 || !text.includes(`"S-${index}"`)) t.fail(`${index}: ${status} ${text}`)
  }
  t.equal(intake.offers.length, 1_000)
})
