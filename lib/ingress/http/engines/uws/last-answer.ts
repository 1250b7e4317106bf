/**
 * How the last answer of a connection is given to uWebSockets.js, so that the connection can still be closed later,
 * when its client has taken the answer or has had time to. An answer that is ended must not be touched any more.
 */
import { NOT_MODIFIED, type Headers } from '../engine.js'
import { headText } from './heads.js'
import type * as Uws from 'uWebSockets.js'

/** More than it corks, so that it says at once whether the connection has taken them. */
const TAIL_BYTES = 32 * 1024

/** An answer without a body, as a status to which uWebSockets.js adds the final line break. */
export function writeLastHead (res: Uws.HttpResponse, status: number, headers: Headers, length: number): void {
  const lengths: Headers = status === NOT_MODIFIED ? [] : [['content-length', String(length)]]
  res.cork(() => res.writeStatus(`${headText(status, [...headers, ...lengths, ['connection', 'close']])}\r\n`))
}

/**
 * The body of the last answer. With end(), uWebSockets.js would keep what a client does not read. The tail is given
 * with a false length, which has no other effect: the true one has been sent.
 */
export class LastBody {
  private readonly tail: number

  constructor (private readonly res: Uws.HttpResponse, private readonly body: Buffer) {
    this.tail = body.length - (body.length > 2 * TAIL_BYTES ? TAIL_BYTES : 1)
  }

  /** Ends the head, and gives as much as the connection takes, up to the tail; corked. */
  pushHead (offset = 0): boolean {
    return this.res.tryEnd(this.body.subarray(offset, this.tail), this.body.length)[0]
  }

  /** Gives what the connection takes now; corked. True: that was all. */
  push (): boolean {
    const { res, body, tail } = this
    const offset = res.getWriteOffset()
    if (offset < tail && !this.pushHead(offset)) return false
    return res.tryEnd(body.subarray(Math.max(offset, tail)), body.length + 1)[0]
  }
}
