/**
 * One connection of node:http: tracks its requests, and closes it in order after input that is not valid HTTP.
 *
 *   open → closing → (all earlier answers sent) → refusal sent → closed
 */
import { refusalText } from '../refusals.js'
import type { Socket } from 'node:net'
import type { RefusalCode } from '../engine.js'
import type { Lingering } from '../lingering.js'

/** A request as seen by its connection. */
export interface Reception {
  /** Its body is still arriving, and the answer waits for it. */
  readonly isReading: boolean
  /** It was answered, and its body is still arriving and is discarded. */
  readonly isAnsweredEarly: boolean
  /** The rest of its body is invalid: answers that, and closes the connection. */
  breakOff (): void
  /** Its connection is closed. */
  lost (): void
}

export class NodeConnection {
  /** No further input is served. */
  closing = false
  /** Input is left unread. */
  private isDeaf = false
  private isPausing = false
  /** The latest request. */
  private last: Reception | null = null
  /** Requests that came before earlier ones had their answers, and that have not had theirs. */
  private readonly behind = new Set<Reception>()
  /** Answers not yet sent in full. */
  private unsent = 0
  /** Bytes read from the socket by the time of the last answer. A handshake of TLS has read some. */
  private bytesSettled: number
  /** Waits until all earlier answers have been sent. */
  private refusal: { readonly code: RefusalCode, readonly counted: boolean } | null = null
  /** 1 if the refusal replaces the answer to the latest request, which then is not waited for. */
  private replaced = 0

  constructor (
    private readonly socket: Socket,
    private readonly onRefused: (code: RefusalCode) => void,
    private readonly lingering: Lingering
  ) {
    this.bytesSettled = socket.bytesRead
    const destroySoon = socket.destroySoon.bind(socket)
    // How Node.js ends a connection after an answer.
    socket.destroySoon = () => {
      if (this.isDeaf || this.last?.isAnsweredEarly === true) this.linger()
      else destroySoon()
    }
  }

  /** Ends the connection once what was written has been sent, without reading what else arrives. */
  linger (): void {
    const { lingering, socket } = this
    if (socket.destroyed) return
    socket.pause()
    socket.end()
    lingering.add(socket)
    socket.once('close', () => lingering.delete(socket))
  }

  /** Nothing was ever asked. */
  get isUnused (): boolean {
    return this.last === null && this.isIdle
  }

  begin (exchange: Reception): void {
    this.last = exchange
    if (this.unsent > 0) this.behind.add(exchange)
    this.unsent++
  }

  /** Its answer was sent, or never will be. */
  settle (exchange: Reception): void {
    this.behind.delete(exchange)
    this.unsent--
    this.bytesSettled = this.socket.bytesRead
    this.refuseInTurn()
  }

  /** The socket is closed. Node.js says so only to the answer that was being sent. */
  closed (): void {
    for (const exchange of this.behind) exchange.lost()
  }

  /**
   * A request after a refused one has arrived, and is not served. While earlier answers are due, nothing more is read:
   * Node.js keeps each such request until they have been sent, which may take as long as a stream lasts.
   */
  ignore (): void {
    if (this.unsent < 2 || this.isPausing) return
    this.isDeaf = true
    this.isPausing = true
    // Not at once: Node.js goes on reading after each request.
    setImmediate(() => {
      this.isPausing = false
      this.socket.pause()
    })
  }

  /** @param error code of the Node.js error */
  fail (error: string): void {
    const code = refusalOfError(error)
    // Bytes after a request with Connection: close are ignored.
    if (this.closing || error === 'HPE_CLOSED_CONNECTION') return
    // headersTimeout covers connections without a head too, and may come before expire().
    if (error === 'ERR_HTTP_REQUEST_TIMEOUT' && this.isIdle) {
      this.socket.destroy()
      return
    }
    this.closing = true
    const { last } = this
    const gone = error === 'HPE_INVALID_EOF_STATE'
    if (code === null || (last !== null && last.isAnsweredEarly)) {
      this.socket.destroySoon()
    } else if (last !== null && last.isReading && !gone) {
      last.breakOff()
    } else {
      this.replaced = last !== null && last.isReading ? 1 : 0
      // A request whose client disconnected midway is already counted as aborted by its route.
      this.refusal = { code, counted: this.replaced === 0 }
      this.refuseInTurn()
    }
  }

  /** The socket was idle for a while. */
  expire (): void {
    const stuck = this.socket.writableLength > 0
    // headersTimeout covers a head that has begun, BodyWatch a body.
    if (stuck || this.isIdle) this.socket.destroy()
  }

  /** No part of a request has arrived since the last answer. */
  private get isIdle (): boolean {
    return this.unsent === 0 && this.socket.bytesRead === this.bytesSettled
  }

  private refuseInTurn (): void {
    const { refusal, socket } = this
    if (refusal === null || this.unsent > this.replaced) return
    this.refusal = null
    if (refusal.counted) this.onRefused(refusal.code)
    if (socket.writable) socket.write(`HTTP/1.1 ${refusalText(refusal.code)}`)
    socket.destroySoon()
  }
}

/** Null: the connection itself is broken, so an answer is pointless. */
function refusalOfError (error: string): RefusalCode | null {
  switch (error) {
    case 'HPE_HEADER_OVERFLOW': return 'head_too_large'
    case 'HPE_INVALID_TRANSFER_ENCODING': return 'unsupported_transfer_encoding'
    case 'ERR_HTTP_REQUEST_TIMEOUT': return 'request_timeout'
    default: return error.startsWith('HPE_') ? 'malformed_request' : null
  }
}
