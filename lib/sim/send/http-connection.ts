/**
 * One keep-alive connection with at most one request in flight. No pipelining: uWebSockets.js closes a socket on which
 * a second request arrives before the first is answered.
 *
 *   closed ──send──► connecting ──► busy ──answer──► idle ──send──► busy …
 *      ↑                 └──────────────┴───────────────┴── error, end or cut: the request in flight fails
 *
 * A general-purpose client costs several times as much, on a machine that the simulator shares with the server: here a
 * request is one write and a response one read. Requests are never repeated; the next request reopens a lost
 * connection.
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { putWhole } from '../fleet/point-text.js'
import type { Answer, AnswerReader } from './http-answer.js'

/** Outcome of a request. */
export interface Outcome {
  readonly points: number
  /** When it was submitted, on the clock of performance.now(). */
  readonly startedMs: number
  /** Null: none arrived. */
  readonly answer: Answer | null
  /** Code of the network error; '' if answered. */
  readonly error: string
}

export interface HttpTarget {
  /** Scheme (http: or https:), host and port. */
  readonly url: URL
  /** Head of every request, up to the value of Content-Length. */
  readonly head: Buffer
  /** Of all connections to it. */
  readonly answers: AnswerReader
  /** For https: roots to trust, and the certificate to present. */
  readonly tls: ConnectionOptions
}

export const CONNECT_TIMEOUT_MS = 5_000
const READ_BYTES = 4_096
/** A connection keeps a buffer of this size for its requests, which larger ones do not use. */
const REQUEST_BYTES = 4_096
const HEAD_END = Buffer.from('\r\n\r\n')
/** Digits of the longest body. */
const LENGTH_BYTES_MAX = 10
const CLOSED_BY_SERVER = 'closed'
const NO_ANSWER_IN_TIME = 'timeout'
const BROKEN_ANSWER = 'no HTTP answer'

export class HttpConnection implements Outcome {
  points = 0
  startedMs = 0
  answer: Answer | null = null
  error = ''
  private socket: Socket | null = null
  private connected = false
  private busy = false
  private sentMs = 0
  /** Start of an incomplete response. */
  private rest: Buffer | null = null
  /** Reused: the next request comes after the answer to the last. It begins with the target's head. */
  private buffer: Buffer | null = null

  /** @param onOutcome called once per request, when the connection is free for the next one */
  constructor (private readonly target: HttpTarget, private readonly onOutcome: (connection: HttpConnection) => void) {}

  /**
   * Sends a request. None may be in flight.
   * @param body copied
   * @param nowMs on the clock of performance.now(), which is not cheap
   */
  send (body: Buffer, points: number, startedMs: number, nowMs: number): void {
    this.points = points
    this.startedMs = startedMs
    this.sentMs = nowMs
    this.answer = null
    this.error = ''
    this.busy = true
    this.socket ??= this.connect()
    this.socket.write(this.requestOf(body))
  }

  /** Fails a request that has waited too long for its response, or for the connection. */
  checkTime (nowMs: number, answerTimeoutMs: number): void {
    const limitMs = this.connected ? answerTimeoutMs : CONNECT_TIMEOUT_MS
    if (this.busy && nowMs - this.sentMs > limitMs) this.lose(NO_ANSWER_IN_TIME)
  }

  /** Drops the connection; a request in flight fails at once. */
  cut (): void {
    this.lose(CLOSED_BY_SERVER)
  }

  private requestOf (body: Buffer): Buffer {
    const { head } = this.target
    const request = this.bufferOf(head.length + LENGTH_BYTES_MAX + HEAD_END.length + body.length)
    const lengthEnd = putWhole(request, head.length, body.length)
    HEAD_END.copy(request, lengthEnd)
    const end = lengthEnd + HEAD_END.length + body.copy(request, lengthEnd + HEAD_END.length)
    return request.subarray(0, end)
  }

  /** Begins with the head. A new one for a large request, or if an early answer came before the last one was sent. */
  private bufferOf (bytes: number): Buffer {
    const { head } = this.target
    const isReused = bytes <= REQUEST_BYTES && this.socket?.writableLength === 0
    const buffer = (isReused ? this.buffer : null) ?? Buffer.allocUnsafeSlow(isReused ? REQUEST_BYTES : bytes)
    if (buffer !== this.buffer) head.copy(buffer)
    if (isReused) this.buffer = buffer
    return buffer
  }

  private connect (): Socket {
    const { url: { hostname, port, protocol }, tls } = this.target
    const host = hostname.replace(/^\[|\]$/g, '')
    const secure = protocol === 'https:'
    const socket = secure
      ? connectTls({ host, port: Number(port || 443), ...isIP(host) === 0 ? { servername: host } : {}, ...tls })
      : this.connectPlain(host, Number(port || 80))
    if (secure) socket.on('data', (chunk: Buffer) => this.read(socket, chunk))
    socket.setNoDelay(true)
    socket.once(secure ? 'secureConnect' : 'connect', () => { this.connected = true })
    socket.on('error', (error: NodeJS.ErrnoException) => this.lost(socket, error.code ?? error.name))
    socket.on('close', () => this.lost(socket, CLOSED_BY_SERVER))
    return socket
  }

  /** Reads into one buffer: no stream, and no allocation per response. */
  private connectPlain (host: string, port: number): Socket {
    const socket: Socket = connectPlain({
      host,
      port,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (bytes, buffer) => {
          this.read(socket, (buffer as Buffer).subarray(0, bytes))
          return true
        }
      }
    })
    return socket
  }

  /** @param chunk overwritten by the next read */
  private read (socket: Socket, chunk: Buffer): void {
    if (socket !== this.socket) return
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
    const answer = this.target.answers.read(bytes)
    if (answer === 'broken' || !this.busy) {
      this.lose(BROKEN_ANSWER)
    } else if (answer === 'incomplete') {
      this.rest = this.rest === null ? Buffer.from(bytes) : bytes
    } else {
      this.rest = null
      if (answer.close) this.forget()
      this.answer = answer
      this.settle()
    }
  }

  private lost (socket: Socket, cause: string): void {
    if (socket === this.socket) this.lose(cause)
  }

  private lose (cause: string): void {
    this.forget()
    if (!this.busy) return
    this.error = cause
    this.settle()
  }

  private forget (): void {
    this.socket?.destroy()
    this.socket = null
    this.connected = false
    this.rest = null
  }

  private settle (): void {
    this.busy = false
    this.onOutcome(this)
  }
}

/** Head of every request to a target, up to the value of Content-Length. */
export function requestHead (url: URL, path: string, headers: ReadonlyArray<readonly [string, string]>): Buffer {
  const lines = [
    // Without Connection: to stay open is the default, and servers read every header.
    `POST ${path} HTTP/1.1`, `Host: ${url.host}`, ...headers.map(([name, value]) => `${name}: ${value}`)
  ]
  return Buffer.from(lines.join('\r\n') + '\r\nContent-Length: ', 'latin1')
}
