/** One request of node:http and its answer. */
import {
  BodyReader, CHUNK_OVERHEAD_BYTES, LARGE_BODY_BYTES, NO_BYTES, StallTicks, refusedByHead, sharedBytesOf
} from '../body.js'
import { NOT_MODIFIED } from '../engine.js'
import { DISCARDED_BYTES_MAX } from '../lingering.js'
import { refusalOf } from '../refusals.js'
import { Unread } from '../unread.js'
import { SMALL_ANSWER_BYTES } from '../unread-total.js'
import { NOT_LISTED } from '../../../../support/roster.js'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { BodyFailure, Headers, HttpExchange, HttpStream, RefusalCode, StreamEnding } from '../engine.js'
import type { BodyWatch, Watched } from '../body.js'
import type { EngineServer, OpenExchange } from '../server.js'
import type { NodeConnection, Reception } from './node-connection.js'
import type { NodeRequest } from './node-request.js'

/** After these nothing else is read from the connection. */
const LAST_FAILURES: ReadonlySet<BodyFailure> = new Set(['request_timeout', 'malformed_request', 'too_many_chunks'])
/** A large answer is written in pieces, so that it shows whether its client reads. */
const PIECE_BYTES = 64 * 1024

export class NodeExchange implements HttpExchange, HttpStream, Reception, OpenExchange {
  place = NOT_LISTED
  aborted = false
  private ended = false
  private isSettled = false
  /** The answer closes the connection. */
  private hangUp: boolean
  private blocked = false
  private reader: BodyReader | null = null
  private unread: Unread | null = null
  private onStreamClose: (() => void) | null = null
  private whenClosing: StreamEnding = 'end'
  /** Resolves writable(). */
  private wake: () => void = () => {}

  constructor (
    private readonly req: IncomingMessage,
    private readonly res: ServerResponse,
    private readonly request: NodeRequest,
    private readonly server: EngineServer<NodeExchange>,
    private readonly connection: NodeConnection,
    private readonly expectsContinue: boolean
  ) {
    // A client that waits for 100 Continue and gets an answer instead may or may not send the body. And HTTP/1.0 has no
    // chunks, so a proxy in between may see the end of the request elsewhere (RFC 9112, 6.1).
    this.hangUp = expectsContinue || (req.httpVersion === '1.0' && req.headers['transfer-encoding'] !== undefined)
    server.begin(this)
    connection.begin(this)
    res.once('close', () => this.lost())
  }

  /** Its answer was sent, or never will be. */
  lost (): void {
    if (this.isSettled) return
    this.isSettled = true
    this.abort()
    this.unread?.clear()
    this.connection.settle(this)
  }

  get socket (): Socket {
    return this.req.socket
  }

  get isReading (): boolean {
    return !this.ended && this.reader !== null && !this.req.complete
  }

  get isAnsweredEarly (): boolean {
    return this.ended && !this.req.complete
  }

  /** Answers a request that must not reach the routes. */
  refuse (code: RefusalCode): void {
    this.hangUp = true
    this.connection.closing = true
    this.server.onRefused(code)
    const { status, headers, body } = refusalOf(code)
    this.reply(status, headers, body)
  }

  breakOff (): void {
    this.reader?.fail('malformed_request')
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    const refused = refusedByHead(this.request, bytesMax)
    if (refused !== null) {
      onFailure(refused)
      return
    }
    if (this.expectsContinue) {
      this.res.writeContinue()
      this.hangUp = false
    }
    const reader = new BodyReader(this.server.watch, bytesMax, onBody, (failure) => {
      this.hangUp = LAST_FAILURES.has(failure)
      onFailure(failure)
    })
    this.reader = reader
    const { req, server: { watch } } = this
    // Holds back one chunk, so that a body in one chunk is passed on without a copy.
    let held: Buffer | null = null
    let bytesInTurn = 0
    req.on('data', (chunk: Buffer) => {
      if (held !== null) reader.take(held, false)
      held = chunk
      reader.check(chunk)
      bytesInTurn += chunk.length
      if (bytesInTurn < LARGE_BODY_BYTES || !this.isReading) return
      // Otherwise libuv reads 2 MB of each connection before anything else gets its turn.
      bytesInTurn = 0
      req.pause()
      watch.inTurn(() => { if (!this.ended || !this.hangUp) req.resume() })
    })
    req.once('end', () => this.server.passOn(reader, held ?? NO_BYTES))
  }

  reply (status: number, headers: Headers, body: string | Buffer): boolean {
    if (this.aborted || this.ended) return true
    const sent = body.length > SMALL_ANSWER_BYTES ? sharedBytesOf(body) : body
    const isLarge = sent.length > SMALL_ANSWER_BYTES && this.request.method !== 'HEAD'
    if (isLarge && !this.server.unread.admits(sent.length)) return false
    this.finish()
    if (!this.req.complete) this.endEarly()
    const length = status === NOT_MODIFIED ? [] : ['content-length', String(Buffer.byteLength(sent))]
    this.res.writeHead(status, this.head(headers, length))
    if (isLarge) this.pour(sent as Buffer)
    else this.send(sent)
    return true
  }

  /** Its body is still arriving: discards the rest if that is little, and otherwise reads no more of it. */
  private endEarly (): void {
    const { req, res, server: { watch }, connection } = this
    if (Number(req.headers['content-length'] ?? 0) > DISCARDED_BYTES_MAX) this.hangUp = true
    if (!this.hangUp) {
      watch.add(new Discard(req, watch, () => {
        if (res.writableFinished) connection.linger()
        else res.once('finish', () => connection.linger())
      }))
      return
    }
    stopReading(req)
  }

  private send (body: string | Buffer): void {
    const { res } = this
    res.end(body)
    // Its own bytes: not those of earlier answers that its connection has not taken either.
    const { writableLength } = res
    if (writableLength > 0) this.kept.addIfRoom(writableLength)
  }

  private pour (body: Buffer): void {
    const { res, kept } = this
    kept.add(body.length)
    kept.expect()
    let sent = 0
    const more = (): void => {
      while (sent < body.length) {
        const piece = body.subarray(sent, sent + PIECE_BYTES)
        sent += piece.length
        // The rest follows with 'drain'.
        if (!res.write(piece)) return
      }
      res.end()
    }
    res.on('drain', () => {
      kept.moved()
      more()
    })
    more()
  }

  stream (status: number, headers: Headers, onClose: () => void, whenClosing: StreamEnding = 'end'): HttpStream {
    if (this.aborted || this.ended) return this
    this.onStreamClose = onClose
    this.whenClosing = whenClosing
    this.res.writeHead(status, this.head(headers, []))
    this.res.flushHeaders()
    this.res.on('drain', () => {
      this.blocked = false
      this.unread?.clear()
      this.wake()
    })
    // A client of a stream must keep both sides open.
    const gone = (): void => this.closeStream()
    this.req.socket.once('end', gone)
    this.res.once('close', () => this.req.socket.off('end', gone))
    this.server.beginStream(this)
    return this
  }

  write (chunk: string | Buffer): boolean {
    if (this.aborted || this.ended || this.blocked) return false
    if (this.whenClosing === 'end' && !this.server.unread.admitsEvent(chunk)) return false
    this.blocked = !this.res.write(chunk)
    if (this.blocked) {
      this.kept.add(Buffer.byteLength(chunk))
      this.kept.expect()
    }
    return true
  }

  async writable (): Promise<void> {
    if (this.aborted || this.ended || !this.blocked) return
    await new Promise<void>((resolve) => { this.wake = resolve })
  }

  end (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.end()
  }

  cut (): void {
    if (this.aborted || this.ended) return
    this.finish()
    this.res.destroy()
  }

  closeStream (only = this.whenClosing): void {
    const onClose = this.onStreamClose
    if (onClose === null || only !== this.whenClosing) return
    this[this.whenClosing]()
    onClose()
  }

  /** The client has disconnected, or the server cuts the connection. Has no effect after an answer. */
  abort (): void {
    if (this.ended || this.aborted) return
    this.aborted = true
    this.wake()
    this.server.finish(this)
    this.reader?.fail('aborted')
    const onClose = this.onStreamClose
    this.onStreamClose = null
    onClose?.()
  }

  private get kept (): Unread {
    const { server, res, req: { socket } } = this
    // An export must not wait for other answers of its connection: others wait for its place.
    const isNext = (): boolean => res.socket !== null || this.whenClosing === 'cut'
    this.unread ??= new Unread(server.watch, server.unread, () => socket.destroy(), isNext)
    return this.unread
  }

  /** Node.js takes headers as one flat list of names and values. */
  private head (headers: Headers, more: string[]): string[] {
    const flat: string[] = []
    for (const [name, value] of headers) flat.push(name, value)
    if (this.hangUp || this.server.stopping) flat.push('connection', 'close')
    flat.push(...more)
    return flat
  }

  private finish (): void {
    this.ended = true
    this.onStreamClose = null
    this.wake()
    this.server.finish(this)
    this.reader?.drop()
  }
}

/**
 * Not even what a paused request buffers, which is tens of thousands of objects if its chunks are small: it resumes the
 * socket for that.
 */
function stopReading (req: IncomingMessage): void {
  req.pause()
  // Node.js reads to its end whatever nobody has begun to read.
  req.read(0)
  req._read = () => {}
  // Chunks that have been read already are not kept: Node.js looks at this before it does.
  Object.assign(req, { _dumped: true })
  req.socket.pause()
}

/** The rest of a body that was answered early: read to its end, unless that takes too long or is too much. */
class Discard implements Watched {
  place = NOT_LISTED
  private readonly ticks = new StallTicks()
  private bytes = 0

  /** @param onTooMuch called when no more is read */
  constructor (
    private readonly req: IncomingMessage, private readonly watch: BodyWatch, private readonly onTooMuch: () => void
  ) {
    req.removeAllListeners('data')
    req.on('data', (chunk: Buffer) => this.count(chunk.length + CHUNK_OVERHEAD_BYTES))
  }

  tick (): void {
    const isLate = this.ticks.next()
    if (!isLate && !this.req.complete && !this.req.socket.destroyed) return
    this.watch.delete(this)
    if (!this.req.complete) this.req.socket.destroy()
  }

  private count (bytes: number): void {
    this.bytes += bytes
    if (this.bytes <= DISCARDED_BYTES_MAX || this.req.isPaused()) return
    this.watch.delete(this)
    stopReading(this.req)
    this.onTooMuch()
  }
}
