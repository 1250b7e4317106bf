/**
 * RFC 9110 and 9112 as a table, byte for byte, on both engines.
 *
 * What an engine cannot do (`needs`) is what its self-check finds, so that this suite and /health cannot disagree. Whatever
 * it can do, on both: nothing that is hidden behind a request is served, and what is stored is answered with 202.
 */
import { request } from 'undici'
import { REFUSALS } from '../../../../../lib/ingress/http/engines/refusals.js'
import { checkEngine } from '../../../../../lib/ingress/http/engines/self-check/check.js'
import { POINT, RawClient, onBothEngines, startRig } from './rig.js'
import type { Test } from 'tap'
import type { ErrorCode } from '../../../../../lib/support/errors.js'
import type { HttpEngine } from '../../../../../lib/ingress/http/engines/engine.js'
import type { EngineFindings } from '../../../../../lib/ingress/http/engines/self-check/check.js'
import type { Rig } from './rig.js'

interface Case {
  readonly name: string
  /** Each written when the one before has been read. */
  readonly sent: string | readonly string[]
  /** Statuses but 100, in order. */
  readonly answers: readonly number[]
  /** Code of the last answer. */
  readonly code?: ErrorCode
  readonly closes?: true
  /** Closes the sending side behind the last piece. */
  readonly halfClose?: true
  /** What the engine must be able to do, in the words of its self-check. */
  readonly needs?: string
  /** Refused by the parser of uWebSockets.js, which has its own words for it. */
  readonly byParser?: true
  /** Has got to its route, which counts it. */
  readonly uncounted?: true
  /** Where the engine cannot do it, the answer may be missing though the point is stored. */
  readonly mayLose?: true
}

const ERRORS_NEEDED = 'an error for every malformed head'
const LENGTH = `content-length: ${POINT.length}`
const CHUNKED = 'transfer-encoding: chunked'
/** Stands in every case for the id of its own. */
const ID = 'SAT-0001'
const HIDDEN = `GET /udp/senders?sender=${ID} HTTP/1.1\r\nhost: x\r\n\r\n`
const CHUNK = `${POINT.length.toString(16)}\r\n${POINT}\r\n`
const PLAIN = post(LENGTH)

function post (headers: string, body = POINT, { target = '/telemetry', version = '1.1', host = 'host: x\r\n' } = {}): string {
  return `POST ${target} HTTP/${version}\r\n${host}${headers}\r\n\r\n${body}`
}

function get (target: string, method = 'GET', headers = ''): string {
  return `${method} ${target} HTTP/1.1\r\nhost: x\r\n${headers}\r\n`
}

const SERVED: readonly Case[] = [
  { name: 'a point', sent: PLAIN, answers: [202] },
  { name: 'two, one after the other', sent: [get('/', 'HEAD'), get('/')], answers: [200, 200] },
  { name: 'chunks', sent: post(CHUNKED, `${CHUNK}0\r\n\r\n`), answers: [202] },
  { name: 'chunks in pieces', sent: [post(CHUNKED, CHUNK.slice(0, 9)), CHUNK.slice(9), '0\r\n\r\n'], answers: [202] },
  { name: 'chunk sizes in upper case and with zeros', sent: post(CHUNKED, `00${POINT.length.toString(16).toUpperCase()}\r\n${POINT}\r\n000\r\n\r\n`), answers: [202] },
  { name: 'chunk extensions', sent: post(CHUNKED, CHUNK.replace('\r\n', ';a=b;c="d"\r\n') + '0;e\r\n\r\n'), answers: [202], needs: 'chunk extensions' },
  { name: 'trailers', sent: post(CHUNKED, `${CHUNK}0\r\nx-trailer: 1\r\n\r\n`), answers: [202], needs: 'trailers' },
  { name: 'trailers in a later piece', sent: [post(CHUNKED, `${CHUNK}0\r\n`), 'x-trailer: 1\r\n\r\n'], answers: [202], needs: 'trailers' },
  { name: 'HTTP/1.0', sent: post(LENGTH, POINT, { version: '1.0' }), answers: [202], closes: true, needs: 'HTTP/1.0' },
  { name: 'HTTP/1.0 that keeps its connection', sent: Array<string>(2).fill(post(`connection: keep-alive\r\n${LENGTH}`, POINT, { version: '1.0' })), answers: [202, 202], needs: 'HTTP/1.0' },
  { name: 'HTTP/1.0 without Host', sent: post(LENGTH, POINT, { version: '1.0', host: '' }), answers: [202], closes: true, needs: 'HTTP/1.0' },
  { name: 'HTTP/1.0 with chunks, which it does not know', sent: post(`connection: keep-alive\r\n${CHUNKED}`, `${CHUNK}0\r\n\r\n`, { version: '1.0' }), answers: [202], closes: true, needs: 'HTTP/1.0' },
  { name: 'an absolute-form target', sent: post(LENGTH, POINT, { target: 'http://other:81/telemetry?ack=spooled' }), answers: [202], needs: 'absolute-form targets' },
  { name: 'an absolute-form target without a path', sent: get('HTTP://x'), answers: [200], needs: 'absolute-form targets' },
  { name: 'the host of an absolute-form target is the one that counts', sent: post(`origin: http://x\r\n${LENGTH}`, POINT, { target: 'http://other/telemetry' }), answers: [403], needs: 'absolute-form targets' },
  { name: 'OPTIONS', sent: [get('/telemetry', 'OPTIONS'), PLAIN], answers: [200, 202] },
  { name: 'OPTIONS *', sent: get('*', 'OPTIONS'), answers: [200], needs: 'absolute-form targets' },
  { name: 'HEAD', sent: [get('/health', 'HEAD'), PLAIN], answers: [200, 202] },
  { name: 'half-closed', sent: PLAIN, halfClose: true, answers: [202], closes: true, needs: 'half-closed connections', mayLose: true },
  { name: 'half-closed, having asked to close', sent: post(`connection: close\r\n${LENGTH}`), halfClose: true, answers: [202], closes: true },
  { name: 'half-closed GET, having asked to close', sent: get('/health', 'GET', 'Connection: Close\r\n'), halfClose: true, answers: [200], closes: true },
  { name: 'half-closed behind chunks', sent: post(CHUNKED, `${CHUNK}0\r\n\r\n`), halfClose: true, answers: [202], closes: true },
  { name: 'two in one write', sent: PLAIN + PLAIN, answers: [202, 202], needs: 'pipelining' },
  { name: 'two without waiting', sent: [PLAIN, PLAIN], answers: [202, 202], needs: 'pipelining', mayLose: true },
  { name: 'three that are answered at once', sent: get('/').repeat(3), answers: [200, 200, 200] },
  { name: 'an empty line before a request', sent: `\r\n${PLAIN}`, answers: [202], needs: 'empty lines before a request' },
  { name: 'an empty line behind the body', sent: [`${PLAIN}\r\n`, PLAIN], answers: [202, 202], needs: 'empty lines before a request' },
  { name: 'an empty line behind the last body', sent: [post(`connection: close\r\n${LENGTH}`), '\r\n'], answers: [202], closes: true },
  { name: 'a head of 5 KB', sent: post(`x: ${'x'.repeat(5_000)}\r\n${LENGTH}`), answers: [202] },
  { name: 'a head of 15 KB', sent: post(`x: ${'x'.repeat(15_000)}\r\n${LENGTH}`), answers: [202], needs: 'heads of 15 KB' },
  { name: '150 headers', sent: post('x: y\r\n'.repeat(150) + LENGTH), answers: [202], needs: '150 headers' },
  { name: 'Expect: 100-continue', sent: [post(`expect: 100-Continue\r\n${LENGTH}`, ''), POINT], answers: [202] },
  { name: 'an offer to upgrade', sent: post(`connection: upgrade\r\nupgrade: h2c\r\n${LENGTH}`), answers: [202] },
  { name: 'its own page', sent: post(`origin: https://X\r\n${LENGTH}`), answers: [202] },
  { name: 'a page of another site that reads', sent: get('/', 'GET', 'origin: http://y\r\n'), answers: [200] }
]

/** A head that is refused, and behind it what must not be served; in one write, and behind the answer. */
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
  ...['+0', '-0', '0x0', '1e2', ''].flatMap((length) => refused(`a length of "${length}"`, `content-length: ${length}`, 'malformed_request')),
  ...refused('a length beside chunks', `content-length: 0\r\n${CHUNKED}`, 'unsupported_transfer_encoding', { byParser: true }),
  ...refused('chunks beside a length', `${CHUNKED}\r\ncontent-length: 0`, 'malformed_request', { byParser: true }),
  ...refused('gzip as a transfer coding', 'transfer-encoding: gzip', 'unsupported_transfer_encoding'),
  ...refused('gzip before chunks', 'transfer-encoding: gzip, chunked', 'unsupported_transfer_encoding'),
  ...refused('something behind chunked', 'transfer-encoding: chunked, identity', 'unsupported_transfer_encoding'),
  ...refused('two hosts', 'host: y\r\ncontent-length: 0', 'malformed_request'),
  ...refused('the same host twice', 'Host: x\r\ncontent-length: 0', 'malformed_request'),
  ...refused('another expectation', 'expect: 200-ok\r\ncontent-length: 0', 'expectation_failed', { answers: [417] }),
  ...refused('a bare line feed', `x: y\ncontent-length: 0\r\n${LENGTH}`, 'malformed_request', MALFORMED),
  ...refused('a bare carriage return', `x: y\rcontent-length: 0\r\n${LENGTH}`, 'malformed_request', MALFORMED),
  ...refused('a folded line', 'x: y\r\n content-length: 0', 'malformed_request', MALFORMED),
  ...refused('a space before the colon', 'content-length : 0', 'malformed_request', MALFORMED),
  ...refused('a NUL', 'x: \0\r\ncontent-length: 0', 'malformed_request', MALFORMED),
  ...refused('no colon', 'x\r\ncontent-length: 0', 'malformed_request', MALFORMED),
  { name: 'line feeds alone', sent: PLAIN.replaceAll('\r\n', '\n'), answers: [400], code: 'malformed_request', closes: true, ...MALFORMED },
  { name: 'no Host', sent: post(LENGTH, POINT, { host: '' }), answers: [400], code: 'malformed_request', closes: true, byParser: true },
  { name: 'a head of 17 KB', sent: post(`x: ${'x'.repeat(17_000)}\r\n${LENGTH}`), answers: [431], code: 'head_too_large', closes: true, byParser: true },
  { name: 'a target of 17 KB', sent: get(`/${'x'.repeat(17_000)}`), answers: [431], code: 'head_too_large', closes: true, byParser: true },
  { name: 'HTTP/2', sent: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', answers: [400], code: 'malformed_request', closes: true, ...MALFORMED },
  { name: 'HTTP/1.2', sent: post(LENGTH, POINT, { version: '1.2' }), answers: [400], code: 'malformed_request', closes: true, ...MALFORMED },
  { name: 'CONNECT', sent: 'CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n', answers: [400], code: 'malformed_request', closes: true, ...MALFORMED },
  { name: 'a chunk without a size', sent: post(CHUNKED, 'zz\r\n'), answers: [400], code: 'malformed_request', closes: true, byParser: true, uncounted: true },
  { name: 'a chunk whose size is too large', sent: post(CHUNKED, `${'f'.repeat(17)}\r\n`), answers: [400], code: 'malformed_request', closes: true, byParser: true, uncounted: true },
  { name: 'chunks that break off', sent: [post(CHUNKED, CHUNK), 'zz\r\n'], answers: [400], code: 'malformed_request', closes: true, byParser: true, uncounted: true },
  { name: 'a body that breaks off', sent: post(LENGTH, POINT.slice(1)), halfClose: true, answers: [400], code: 'malformed_request', closes: true, needs: 'half-closed connections', uncounted: true },
  { name: 'a head that breaks off', sent: PLAIN.slice(0, 30), halfClose: true, answers: [400], code: 'malformed_request', closes: true, needs: 'half-closed connections' },
  { name: 'nonsense behind a request', sent: `${PLAIN}nonsense\r\n\r\n`, answers: [202, 400], code: 'malformed_request', closes: true, needs: 'pipelining' },
  { name: 'nonsense behind a request that waits', sent: [PLAIN, 'nonsense\r\n\r\n'], answers: [202, 400], code: 'malformed_request', closes: true, needs: 'pipelining', mayLose: true },
  { name: 'nonsense behind a body that was refused', sent: [post(LENGTH.replace(/\d+/, '99999999'), ''), 'x'], answers: [413], code: 'body_too_large' },
  { name: 'what stands behind chunks', sent: post(CHUNKED, `${CHUNK}0\r\nxx${HIDDEN}`), answers: [400], closes: true, needs: ERRORS_NEEDED },
  { name: 'what comes later behind chunks', sent: [post(CHUNKED, `${CHUNK}0\r\nxx`), HIDDEN], answers: [400], closes: true, needs: ERRORS_NEEDED },
  { name: 'a page of another site', sent: [post(`origin: http://y\r\n${LENGTH}`)], answers: [403], code: 'foreign_origin' },
  { name: 'a page of the same machine, but another port', sent: post(`origin: http://x:81\r\n${LENGTH}`), answers: [403], code: 'foreign_origin' },
  { name: 'a page that does not say where it comes from', sent: post(`origin: null\r\n${LENGTH}`), answers: [403], code: 'foreign_origin' },
  { name: 'a page of another site that changes limits', sent: get('/limits', 'PUT', 'origin: http://y\r\ncontent-length: 0\r\n'), answers: [404], code: 'not_found' }
]

/** When it resolves, all that was written before has been read, and answered if the answer does not wait for anything. */
async function goRound (rig: Rig): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await (await request(rig.origin)).body.dump()
}

/** One case on its connection. */
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
    return [...this.client.unread.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code)).filter((code) => code !== 100)
  }
}

/** All side by side; points are acknowledged when everything has been sent. */
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
  // Whoever pipelines may have more to offer when the first is acknowledged.
  for (let turn = 0; turn < 2; turn++) {
    rig.intake.release()
    await goRound(rig)
  }
  return conversations
}

async function judge (t: Test, { intake, status }: Rig, engine: HttpEngine, findings: EngineFindings, { subject, id, client, statuses }: Conversation): Promise<void> {
  const { name, needs } = subject
  const stored = intake.offers.filter(({ ids }) => ids.includes(id)).length
  const lacks = needs !== undefined && findings.cannot.includes(needs)
  t.notOk(status.queries.some(({ sender }) => sender === id), `${name}: what is hidden is not served`)
  if (!lacks || subject.mayLose !== true) t.equal(stored, statuses.filter((code) => code === 202).length, `${name}: what is stored is answered`)
  if (lacks) return
  t.same(statuses, subject.answers, `${name}: ${client.unread}`)
  // uWebSockets.js reads nothing more behind chunks.
  const closes = subject.closes === true || (engine.name === 'uws' && [subject.sent].flat().some((piece) => piece.includes(CHUNKED)))
  if (closes) await client.waitForEnd()
  else t.notOk(client.socket.readableEnded, `${name}: the connection goes on`)
  if (subject.code !== undefined && !isOwn(engine, subject)) t.match(client.unread, new RegExp(`\\r\\n\\r\\n\\{"error":\\{"code":"${subject.code}".*\\}\\}\\s*$`), name)
}

/** Whether the engine answers in its own words. */
function isOwn (engine: HttpEngine, subject: Case): boolean {
  return subject.byParser === true && engine.name === 'uws'
}

onBothEngines('RFC 9112', async (t, engine) => {
  const findings = await checkEngine(engine)
  if (engine.name === 'node') t.same(findings, { unsafe: [], cannot: [] })
  const rig = await startRig(t, engine)
  const conversations = await converse(t, rig, [...SERVED, ...REFUSED])
  for (const each of conversations) await judge(t, rig, engine, findings, each)
  const refusals = conversations.filter(({ subject }) => subject.closes === true && subject.uncounted !== true && !isOwn(engine, subject) && (subject.needs === undefined || !findings.cannot.includes(subject.needs)))
  for (const code of REFUSALS) t.equal(rig.counters.refused[code], refusals.filter(({ subject }) => subject.code === code).length, `${code} is counted`)
})

onBothEngines('a request cut at every byte', async (t, engine) => {
  const { cannot } = await checkEngine(engine)
  const rig = await startRig(t, engine)
  const clients = await Promise.all(Array.from({ length: PLAIN.length - 1 }, async () => await RawClient.open(t, rig.server.port)))
  await goRound(rig)
  clients.forEach((client, index) => client.write(PLAIN.slice(0, index + 1)))
  await goRound(rig)
  clients.forEach((client, index) => { if (client.socket.writable) client.write(PLAIN.slice(index + 1)) })
  await goRound(rig)
  const accepted = clients.filter((client) => client.unread.startsWith('HTTP/1.1 202 ')).length
  t.equal(rig.intake.offers.length, accepted, 'what is stored is answered')
  if (!cannot.includes('heads in pieces')) t.equal(accepted, clients.length)
  else t.ok(accepted >= clients.length - PLAIN.indexOf('\r\n'), 'cut behind the request line it is served all the same')
})

onBothEngines('a thousand in one write', async (t, engine) => {
  const { cannot } = await checkEngine(engine)
  const { intake, server, counters } = await startRig(t, engine)
  const client = await RawClient.open(t, server.port)
  const bodies = Array.from({ length: 1_000 }, (_, index) => `{"satellite_id":"S-${index}","storage_usage_mb":1}`)
  client.write(bodies.map((body) => post(`content-length: ${body.length}`, body)).join(''))
  if (cannot.includes('pipelining')) {
    await client.waitForEnd()
    t.equal(intake.offers.length, counters.requests.telemetry.ok, 'what is not answered is not stored')
    return
  }
  for (let index = 0; index < bodies.length; index++) {
    const { status, text } = await client.answer()
    if (status !== 202 || !text.includes(`"S-${index}"`)) t.fail(`${index}: ${status} ${text}`)
  }
  t.equal(intake.offers.length, 1_000)
})
