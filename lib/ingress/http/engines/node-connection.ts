/**
 * One connection of node:http: what is under way on it, and how it ends when something that came in is not HTTP.
 *
 *   open → closing → (answers before it have gone out) → refusal sent → closed
 */
import { refusalText } from './refusals.js'
import type { Socket } from 'node:net'
import type { RefusalCode } from './refusals.js'

/** A request, as far as its connection looks at it. */
export interface Reception {
  /** Its body still arrives, and the answer waits for it. */
  readonly isReading: boolean
  /** Its body still arrives, to be thrown away. */
  readonly isAnsweredEarly: boolean
  /** What arrives is no body: answers that, and closes the connection. */
  breakOff (): void
}

export class NodeConnection {
  /** Nothing that comes in is taken for a request any more. */
  closing = false
  /** The request that came last. */
  private last: Reception | null = null
  /** Answers that have not gone out in whole. */
  private unsent = 0
  /** Bytes of the socket when the last answer had gone out. */
  private bytesSettled = 0
  /** Waits until all answers before it have gone out. */
  private refusal: { readonly code: RefusalCode, readonly counted: boolean } | null = null
  /** Of the answers that have not gone out, the one that the refusal takes the place of. */
  private replaced = 0

  constructor (private readonly socket: Socket, private readonly onRefused: (code: RefusalCode) => void) {}

  begin (exchange: Reception): void {
    this.last = exchange
    this.unsent++
  }

  /** An answer has gone out, or never will. */
  settle (): void {
    this.unsent--
    this.bytesSettled = this.socket.bytesRead
    this.refuseInTurn()
  }

  /** @param error the code of Node.js */
  fail (error: string): void {
    const code = refusalOfError(error)
    // Bytes behind a request with Connection: close are no fault of it.
    if (this.closing || error === 'HPE_CLOSED_CONNECTION') return
    this.closing = true
    const { last } = this
    const gone = error === 'HPE_INVALID_EOF_STATE'
    if (code === null || (last !== null && last.isAnsweredEarly)) {
      this.socket.destroySoon()
    } else if (last !== null && last.isReading && !gone) {
      last.breakOff()
    } else {
      this.replaced = last !== null && last.isReading ? 1 : 0
      // A request whose client went in the middle of it counts as aborted where it began.
      this.refusal = { code, counted: this.replaced === 0 }
      this.refuseInTurn()
    }
  }

  /** Nothing went either way for a while. */
  expire (): void {
    const stuck = this.socket.writableLength > 0
    // A head that has begun is seen to by headersTimeout, a body by its watch.
    const idle = this.unsent === 0 && this.socket.bytesRead === this.bytesSettled
    if (stuck || idle) this.socket.destroy()
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

/** Null: the connection itself is broken, and nobody reads an answer. */
function refusalOfError (error: string): RefusalCode | null {
  switch (error) {
    case 'HPE_HEADER_OVERFLOW': return 'head_too_large'
    case 'HPE_INVALID_TRANSFER_ENCODING': return 'unsupported_transfer_encoding'
    case 'ERR_HTTP_REQUEST_TIMEOUT': return 'request_timeout'
    default: return error.startsWith('HPE_') ? 'malformed_request' : null
  }
}
