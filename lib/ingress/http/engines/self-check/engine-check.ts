/**
 * Finds out what an HTTP engine can do, over loopback, before it serves anybody: binaries of uWebSockets.js differ, and
 * which one loads is beyond our control.
 *
 * All conversations run concurrently, without timed waits: after each step, a marker request is sent on a separate
 * connection, and once it is answered, everything written before it has been read and answered too. So the check takes
 * only milliseconds, and a slow machine gets the same result.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { ABILITY_CASES, SAFETY_CASES } from './cases.js'
import type { Socket } from 'node:net'
import type { HttpEngine, HttpExchange, HttpRequest } from '../engine.js'
import type { CheckCase } from './cases.js'

/** Names of the cases that an engine fails. */
export interface EngineFindings {
  /** The engine must not serve. */
  readonly unsafe: readonly string[]
  /** Clients that need these require another engine. */
  readonly cannot: readonly string[]
}

const HOST = '127.0.0.1'
/** An engine that has not answered a simple request by then does not work: several hundred times what it takes. */
const ANSWER_TIMEOUT_MS = 10_000
/** In the first, the other side reads what was written; in the second, its answer is read. */
const ROUNDS_PER_STEP = 2
const BODY_BYTES_MAX = 1_000
const MARKER = '/prompt-marker'
/** Prefix of paths that are answered at once, so that a hidden request behind them would be served; others wait. */
const PROMPT = '/prompt-'

/** Rejects if the engine does not serve at all. */
export async function checkEngine (engine: HttpEngine): Promise<EngineFindings> {
  const responder = new Responder()
  const server = await engine.listen(HOST, 0, responder.handle)
  const conversations = [
    ...SAFETY_CASES.map((each, index) => new Conversation(each, `${PROMPT}${index}`, server.port)),
    ...ABILITY_CASES.map((each, index) => new Conversation(each, `/${index}`, server.port))
  ]
  try {
    await Promise.all(conversations.map(async (each) => await each.connected()))
    await converse(conversations, server.port, responder)
    const failed = conversations.filter((each) => !each.passes(responder.served))
    return { unsafe: namesOf(failed, SAFETY_CASES), cannot: namesOf(failed, ABILITY_CASES) }
  } finally {
    for (const each of conversations) each.close()
    await server.close(0)
  }
}

function namesOf (failed: readonly Conversation[], cases: readonly CheckCase[]): string[] {
  return [...new Set(cases.filter((each) => failed.some(({ subject }) => subject === each)).map(({ name }) => name))]
}

async function converse (conversations: readonly Conversation[], port: number, responder: Responder): Promise<void> {
  // Connections are accepted in order: once the last one is served, so are the others.
  const marker = new Conversation(null, MARKER, port)
  await marker.connected()
  await marker.goRound()
  for (let step = 0; conversations.some((each) => each.hasStep(step)); step++) {
    for (const each of conversations) each.take(step)
    await marker.goRound()
  }
  for (const each of conversations) each.halfClose()
  await marker.goRound()
  responder.answerAll()
  await marker.goRound()
  marker.close()
}

/** Accepts every body, and records what was served. */
class Responder {
  /** Paths. */
  readonly served = new Set<string>()
  private readonly waiting: HttpExchange[] = []

  readonly handle = (request: HttpRequest, exchange: HttpExchange): void => {
    const { method, path } = request
    this.served.add(path)
    const take = (): void => {
      if (path.startsWith(PROMPT)) setImmediate(() => accept(exchange))
      else this.waiting.push(exchange)
    }
    if (method === 'POST') exchange.readBody(BODY_BYTES_MAX, take, () => exchange.reply(400, [], ''))
    else take()
  }

  answerAll (): void {
    for (const exchange of this.waiting) accept(exchange)
  }
}

/** With a body, as every 202 has: answers without one may close their connections. */
function accept (exchange: HttpExchange): void {
  exchange.reply(202, [], '{}')
}

class Conversation {
  private readonly socket: Socket
  private readonly pieces: readonly string[]
  private received = ''
  private readonly gone = new AbortController()

  /** @param subject null for the marker */
  constructor (readonly subject: CheckCase | null, private readonly path: string, port: number) {
    this.pieces = subject?.pieces(path) ?? []
    this.socket = connect({ host: HOST, port, noDelay: true })
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => { this.received += text })
    // A cut connection has no answer, which is checked later.
    this.socket.on('error', () => {})
    this.socket.on('close', () => this.gone.abort())
  }

  async connected (): Promise<void> {
    await once(this.socket, 'connect', { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
  }

  hasStep (step: number): boolean {
    return step < this.pieces.length
  }

  take (step: number): void {
    const piece = this.pieces[step]
    if (piece !== undefined && this.socket.writable) this.socket.write(piece)
  }

  halfClose (): void {
    if (this.subject?.halfClose === true) this.socket.end()
  }

  async goRound (): Promise<void> {
    for (let round = 0; round < ROUNDS_PER_STEP; round++) {
      this.socket.write(`GET ${this.path} HTTP/1.1\r\nhost: x\r\n\r\n`)
      const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_TIMEOUT_MS), this.gone.signal])
      await once(this.socket, 'data', { signal })
    }
  }

  passes (served: ReadonlySet<string>): boolean {
    const statuses = [...this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    const expected = this.subject?.answers
    if (Array.isArray(expected)) return statuses.join() === expected.join()
    return !served.has(`${this.path}/hidden`) && (expected === 'any' || !statuses.includes(202))
  }

  close (): void {
    this.socket.destroy()
  }
}
