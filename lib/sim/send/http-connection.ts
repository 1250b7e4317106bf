/**
 * One keep-alive connection with at most one request on it (no pipelining: uWebSockets.js closes a socket on which a
 * second request comes before the answer to the first).
 *
 *   closed ──send──► connecting ──► busy ──answer──► idle ──send──► busy …
 *      ↑                 └──────────────┴───────────────┴── error, end or cut: the request on it fails
 *
 * A general client costs several times what such a request needs, on a machine that the simulator shares with the
 * server: a request is one write and an answer one read here. A request is never repeated; a connection that was lost
 * is opened again by the next one.
 */
import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readAnswer, type Answer } from './http-answer.js'

/** How a request ended. */
export interface Outcome {
  readonly points: number
  /** When it was handed over, on the clock of performance.now(). */
  readonly startedMs: number
  /** Null: there was none. */
  readonly answer: Answer | null
  /** Code of the network error; '' if there was an answer. */
  readonly error: string
}

export interface HttpTarget {
  /** http: or https:, host and port of it. */
  readonly url: URL
  /** Head of each request, as far as the value of Content-Length. */
  readonly head: Buffer
}

export const CONNECT_TIMEOUT_MS = 5_000
const READ_BYTES = 4_096
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
  /** Of an answer that has not come whole. */
  private rest: Buffer | null = null

  /** @param onOutcome called once for each request; the connection is free for the next one then */
  constructor (private readonly target: HttpTarget, private readonly onOutcome: (connection: HttpConnection) => void) {}

  /** Opens it ahead of the first request. */
  open (): void {
    this.socket ??= this.connect()
  }

  /** Sends a request; only while there is no other one. */
  send (body: Buffer, points: number, startedMs: number): void {
    this.points = points
    this.startedMs = startedMs
    this.sentMs = performance.now()
    this.answer = null
    this.error = ''
    this.busy = true
    this.open()
    this.socket?.write(requestOf(this.target.head, body))
  }

  /** Fails a request that has waited too long for its answer, or for the connection. */
  checkTime (nowMs: number, answerTimeoutMs: number): void {
    const limitMs = this.connected ? answerTimeoutMs : CONNECT_TIMEOUT_MS
    if (this.busy && nowMs - this.sentMs > limitMs) this.lose(NO_ANSWER_IN_TIME)
  }

  /** Cuts the connection; a request on it fails at once. */
  cut (): void {
    this.lose(CLOSED_BY_SERVER)
  }

  private connect (): Socket {
    const { hostname, port, protocol } = this.target.url
    const host = hostname.replace(/^\[|\]$/g, '')
    const secure = protocol === 'https:'
    const socket = secure ? connectTls({ host, port: Number(port || 443), servername: host }) : this.connectPlain(host, Number(port || 80))
    if (secure) socket.on('data', (chunk: Buffer) => this.read(socket, chunk))
    socket.setNoDelay(true)
    socket.once(secure ? 'secureConnect' : 'connect', () => { this.connected = true })
    socket.on('error', (error: NodeJS.ErrnoException) => this.lost(socket, error.code ?? error.name))
    socket.on('close', () => this.lost(socket, CLOSED_BY_SERVER))
    return socket
  }

  /** Reads into one buffer, without a stream and a new one for each answer. */
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

  /** @param chunk of memory that is used again */
  private read (socket: Socket, chunk: Buffer): void {
    if (socket !== this.socket) return
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
    const answer = readAnswer(bytes)
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

/** Head of all requests to a target, as far as the value of Content-Length. */
export function requestHead (url: URL, path: string, headers: ReadonlyArray<readonly [string, string]>): Buffer {
  const lines = [`POST ${path} HTTP/1.1`, `Host: ${url.host}`, 'Connection: keep-alive', ...headers.map(([name, value]) => `${name}: ${value}`)]
  return Buffer.from(lines.join('\r\n') + '\r\nContent-Length: ', 'latin1')
}

function requestOf (head: Buffer, body: Buffer): Buffer {
  const length = `${body.length}\r\n\r\n`
  const request = Buffer.allocUnsafe(head.length + length.length + body.length)
  head.copy(request)
  request.write(length, head.length, 'latin1')
  body.copy(request, head.length + length.length)
  return request
}
