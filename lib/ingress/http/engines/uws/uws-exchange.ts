/**
 * One request of uWebSockets.js and its answer.
 *
 * Left alone, uWebSockets.js keeps whatever a connection does not take, of any number of answers, and does not say how
 * much. So answers are given to it with tryEnd(), which takes only what the connection takes, and says whether that was
 * everything, including what was written before. The rest waits here, where it is counted, and the answer is not over:
 * a client that sends another request meanwhile is cut off by uWebSockets.js.
 *
 * It says that a stream is writable before it has written what it keeps. Only the next write shows whether it has: so
 * after a chunk that was not taken whole, the next one is begun with a single byte.
 */
import { BodyReader, CHUNK_OVERHEAD_BYTES, HeldAnswer, bytesOf, refusedByHead, sharedBytesOf } from '../body.js'
import { NOT_MODIFIED } from '../engine.js'
import { DISCARDED_BYTES_MAX } from '../lingering.js'
import { Unread } from '../unread.js'
import { SMALL_ANSWER_BYTES } from '../unread-total.js'
import { headText } from './heads.js'
import { LastBody, writeLastHead } from './last-answer.js'
import { NOT_LISTED } from '../../../../support/roster.js'
import type { BodyFailure, Headers, HttpExchange, HttpStream, StreamEnding } from '../engine.js'
import type { EngineServer, OpenExchange } from '../server.js'
import type { UwsRequest } from './uws-request.js'
import type * as Uws from 'uWebSockets.js'

/**
 * One answer without a body in so many, at random, is the last on its connection. tryEnd() tells only of bodies whether
 * the connection takes them, so a client that asks for nothing else, and reads nothing, would not be noticed. Like this
 * uWebSockets.js keeps some 20 KB for it.
 */
const HEADS_PER_CONNECTION = 64

/** The server of an exchange. */
interface Host extends EngineServer<UwsExchange> {
  readonly random: () => number
}

export class UwsExchange implements HttpExchange, HttpStream, OpenExchange {
  place = NOT_LISTED
  aborted = false
  private ended = false
  /** reply() was called; the answer may still wait, for its client or for the rest of the request. */
  private isAnswered = false
  /** The answer closes the connection. */
  private hangUp = false
  private blocked = false
  /** uWebSockets.js may still keep something of the last chunk. */
  private isDoubtful = false
  /** The rest of a chunk that was begun. */
  private begun: Buffer | null = null
  private unread: Unread | null = null
  private paused = false
  /** No more of its body is read, so its connection is closed a while after the answer. */
  private lingers = false
  /** Of chunks that arrived after the answer. */
  private discardedBytes = 0
  /** Chunks are still arriving. */
  private chunksArrive: boolean
  /** Waits until they have arrived: the answer closes the connection, on which the client would still be sending. */
  private held: HeldAnswer | null = null
  private reader: BodyReader | null = null
  private onStreamClose: (() => void) | null = null
  private whenClosing: StreamEnding = 'end'
  /** Resolves writable(). */
  private wake: () => void = () => {}

  constructor (
    private readonly res: Uws.HttpResponse,
    private readonly request: UwsRequest,
    private readonly server: Host
  ) {
    this.chunksArrive = request.isChunked
  }

  /** The handler has returned: an unanswered request needs an abort handler before control returns to the engine. */
  afterHandler (): void {
    if (this.ended) return
    this.server.begin(this)
    this.res.onAborted(() => this.abort())
    if (this.reader !== null || this.onStreamClose !== null) return
    if (this.chunksArrive) {
      this.res.onData((chunk, last) => {
        this.discard(chunk.byteLength)
        this.arrived(last)
      })
    } else if (!this.isAnswered && (this.request.isLast || this.isLong)) this.pause()
  }

  /** Nothing but a route that asked for it may read its body. */
  private get isLong (): boolean {
    return this.request.length > DISCARDED_BYTES_MAX
  }

  /** Chunks of a request that has its answer already. */
  private discard (bytes: number): void {
    if (!this.isAnswered || this.paused || this.ended) return
    this.discardedBytes += bytes + CHUNK_OVERHEAD_BYTES
    if (this.discardedBytes <= DISCARDED_BYTES_MAX) return
    this.skipBody()
    setImmediate(() => this.release())
  }

  private skipBody (): void {
    this.hangUp = true
    this.lingers = true
    this.pause()
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    const refused = refusedByHead(this.request, bytesMax)
    if (refused !== null) {
      onFailure(refused)
      return
    }
    const reader = new BodyReader(this.server.watch, bytesMax, onBody, (failure) => {
      if ((this.isLong && failure !== 'aborted') || failure === 'too_many_chunks') this.skipBody()
      else this.hangUp = failure === 'request_timeout'
      onFailure(failure)
    })
    this.reader = reader
    this.res.onData((chunk, last) => {
      this.discard(chunk.byteLength)
      if (chunk.byteLength > 0) reader.take(Buffer.from(chunk), false)
      if (last) this.server.passOn(reader)
      this.arrived(last)
    })
  }

  /** At the end of the body, stops reading if the answer will be the last one anyway. */
  private arrived (last: boolean): void {
    if (!last || this.ended || this.aborted) return
    this.chunksArrive = false
    const isStream = this.onStreamClose !== null
    if (!isStream && (this.request.isChunked || this.request.isLast)) this.pause()
    // Not at once: the parser would continue after it.
    if (this.held !== null) setImmediate(() => this.release())
  }

  private pause (): void {
    this.paused = true
    this.res.pause()
  }

  reply (status: number, headers: Headers, body: string | Buffer): boolean {
    if (this.aborted || this.ended || this.isAnswered) return true
    const { request, server } = this
    const hasBody = body.length > 0 && status !== NOT_MODIFIED && request.method !== 'HEAD'
    const sent = body.length > SMALL_ANSWER_BYTES ? sharedBytesOf(body) : body
    const isLarge = hasBody && sent.length > SMALL_ANSWER_BYTES
    if (isLarge && !server.unread.admits(sent.length)) return false
    if (isLarge) this.kept.add(sent.length)
    this.isAnswered = true
    if (this.reader === null && this.isLong) this.skipBody()
    const closes = this.hangUp || request.isChunked || server.stopping
    if (!hasBody && !closes && server.random() * HEADS_PER_CONNECTION < 1) {
      this.skipBody()
      this.send(true, () => this.sendLastHead(status, headers, Buffer.byteLength(sent)))
    } else if (!hasBody) this.send(closes, () => this.sendHead(status, headers, Buffer.byteLength(sent), closes))
    else if (closes && body.length > 1) this.send(true, () => this.sendAndClose(status, headers, bytesOf(sent)))
    else this.sendBody(status, headers, sent)
    return true
  }

  /** An answer that closes waits until all chunks have arrived, and until the parser has finished its read. */
  private send (closes: boolean, send: () => void): void {
    if (!closes) {
      send()
      return
    }
    this.held = new HeldAnswer(send, () => this.release())
    if (this.chunksArrive && !this.hangUp) this.server.watch.add(this.held)
    else setImmediate(() => this.release())
  }

  private release (): void {
    const { held } = this
    if (held === null) return
    this.held = null
    this.server.watch.delete(held)
    if (!this.aborted && !this.ended) held.send()
  }

  private sendHead (status: number, headers: Headers, length: number, closes: boolean): void {
    this.res.cork(() => {
      this.writeHead(status, headers)
      if (status === NOT_MODIFIED) this.endHead(null, closes)
      else if (this.request.method === 'HEAD') this.endHead(length, closes)
      else this.res.end('', closes)
    })
    this.finish()
  }

  private sendLastHead (status: number, headers: Headers, length: number): void {
    writeLastHead(this.res, status, headers, length)
    this.close()
  }

  private sendBody (status: number, headers: Headers, body: string | Buffer): void {
    const { res } = this
    const isTaken = this.corked(() => {
      this.writeHead(status, headers)
      // All of it, if no length is given.
      return res.tryEnd(body, 0)[1]
    })
    if (isTaken) {
      this.finish()
      return
    }
    const bytes = bytesOf(body)
    this.keep(bytes, () => {
      const isDone = res.tryEnd(bytes.subarray(res.getWriteOffset()), bytes.length)[1]
      if (isDone) this.finish()
    })
  }

  /** The connection is closed once all has been written. */
  private sendAndClose (status: number, headers: Headers, body: Buffer): void {
    const { res } = this
    const last = new LastBody(res, body)
    const push = (): void => {
      if (this.corked(() => last.push())) this.close()
    }
    res.cork(() => {
      this.writeHead(status, headers)
      res.writeHeader('connection', 'close')
      last.pushHead()
    })
    if (this.corked(() => last.push())) this.close()
    else this.keep(body, push)
  }

  private close (): void {
    this.finish()
    if (this.lingers) this.server.lingering.add(this)
    else this.res.close()
  }

  /** The time to read its answer is over. */
  destroy (): void {
    if (!this.aborted) this.res.close()
  }

  /** @param push gives the connection what it takes now */
  private keep (body: Buffer, push: () => void): void {
    const { kept } = this
    if (body.length > SMALL_ANSWER_BYTES) kept.expect()
    else if (!kept.addIfRoom(body.length)) return
    this.res.onWritable(() => {
      kept.moved()
      push()
      return true
    })
  }

  stream (status: number, headers: Headers, onClose: () => void, whenClosing: StreamEnding = 'end'): HttpStream {
    if (this.aborted || this.ended) return this
    this.onStreamClose = onClose
    this.whenClosing = whenClosing
    // Reading is how the end of the client is noticed.
    if (this.paused) this.res.resume()
    this.res.cork(() => this.writeHead(status, headers))
    this.res.onWritable(() => {
      this.resume()
      return true
    })
    this.server.beginStream(this)
    return this
  }

  write (chunk: string | Buffer): boolean {
    if (this.aborted || this.ended || this.blocked) return false
    if (this.whenClosing === 'end' && !this.server.unread.admitsEvent(chunk)) return false
    if (this.isDoubtful) {
      this.begin(bytesOf(chunk))
      // Once, however often it is begun.
      if (this.begun !== null) this.kept.add(this.begun.length)
    } else this.put(chunk)
    return true
  }

  private put (chunk: string | Buffer): void {
    this.blocked = !this.corked(() => this.res.write(chunk))
    if (!this.blocked) return
    this.isDoubtful = true
    this.kept.add(Buffer.byteLength(chunk))
    this.kept.expect()
  }

  /** Writes the rest only if nothing is kept of what came before. False: the connection takes no more. */
  private begin (chunk: Buffer): boolean {
    const rest = chunk.subarray(1)
    this.blocked = !this.corked(() => this.res.write(chunk.subarray(0, 1)))
    if (!this.blocked) {
      this.isDoubtful = false
      this.kept.clear()
      if (rest.length > 0) this.put(rest)
      return !this.blocked
    }
    this.kept.expect()
    this.begun = rest
    return false
  }

  /** The connection takes more. */
  private resume (): void {
    const { begun, kept } = this
    this.begun = null
    this.blocked = false
    kept.moved()
    if (begun !== null && begun.length > 0) {
      if (this.begin(begun)) this.wake()
    } else {
      kept.rest()
      this.wake()
    }
  }

  async writable (): Promise<void> {
    if (this.aborted || this.ended || !this.blocked) return
    await new Promise<void>((resolve) => { this.wake = resolve })
  }

  end (): void {
    if (this.aborted || this.ended) return
    const { res, begun } = this
    if (begun !== null && begun.length > 0) this.put(begun)
    this.finish()
    // If end() also closed, uWebSockets.js would write a header into the last chunk.
    if (this.request.isChunked) res.close()
    else res.cork(() => res.end())
  }

  cut (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.close()
  }

  /** Its client does not read. */
  private cutOff (): void {
    const onClose = this.onStreamClose
    this.finish()
    this.res.close()
    onClose?.()
  }

  private corked (work: () => boolean): boolean {
    let result = false
    this.res.cork(() => { result = work() })
    return result
  }

  closeStream (only = this.whenClosing): void {
    const onClose = this.onStreamClose
    if (onClose === null || only !== this.whenClosing) return
    this[this.whenClosing]()
    onClose()
  }

  private writeHead (status: number, headers: Headers): void {
    this.res.writeStatus(headText(status, headers))
  }

  /**
   * Ends without a length: given one, uWebSockets.js never considers the response ended, and aborts it later.
   * @param length null: none is stated
   */
  private endHead (length: number | null, close: boolean): void {
    if (length !== null) this.res.writeHeader('content-length', String(length))
    if (close) this.res.writeHeader('connection', 'close')
    this.res.endWithoutBody()
  }

  private get kept (): Unread {
    this.unread ??= new Unread(this.server.watch, this.server.unread, () => this.cutOff())
    return this.unread
  }

  private finish (): void {
    this.ended = true
    this.unread?.clear()
    this.onStreamClose = null
    this.wake()
    this.reader?.drop()
    this.server.finish(this)
  }

  private abort (): void {
    this.aborted = true
    this.server.lingering.delete(this)
    this.wake()
    this.unread?.clear()
    if (this.held !== null) this.server.watch.delete(this.held)
    this.server.finish(this)
    this.reader?.fail('aborted')
    const onClose = this.onStreamClose
    this.onStreamClose = null
    onClose?.()
  }
}
