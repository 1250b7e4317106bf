/**
 * One keep-alive HTTP/1.1 connection with at most one request on it, as light as it gets: the load generator shares
 * the machine's cores with what it measures. It reads of an answer what it must: the status and where the answer ends.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = '0\r\n\r\n'
const ANSWER_BYTES_MAX = 65_536
const READ_BYTES = 4096
const STATUS_AT = 9

export class RawConnection {
  /** Called with the status of an answer, and the code of its error if it names one; 0: the connection was lost before it came. */
  onAnswer: (status: number, code: string) => void = () => {}
  private readonly socket: Socket
  private rest: Buffer | null = null
  /** Most answers are like the one before, byte by byte. */
  private last: { readonly bytes: Buffer, readonly status: number } | null = null
  private waiting = false
  private lost = false

  private constructor (host: string, port: number) {
    // Reads into one buffer, without a stream and a new one for each answer.
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        this.read((buffer as Buffer).subarray(0, bytes))
        return true
      }
    }
    this.socket = connect({ host, port, noDelay: true, onread })
    this.socket.on('error', () => this.lose())
    this.socket.on('close', () => this.lose())
  }

  static async open (host: string, port: number): Promise<RawConnection> {
    const connection = new RawConnection(host, port)
    await once(connection.socket, 'connect')
    return connection
  }

  get isLost (): boolean {
    return this.lost
  }

  /** Only while no other request is under way; `request` must stay as it is until the answer. */
  send (request: Buffer): void {
    this.waiting = true
    if (this.lost) queueMicrotask(() => this.settle(0))
    else this.socket.write(request)
  }

  close (): void {
    this.socket.destroy()
  }

  /** @param chunk of memory that is used again */
  private read (chunk: Buffer): void {
    const { last, rest } = this
    if (rest === null && last?.bytes.equals(chunk) === true) {
      this.settle(last.status)
      return
    }
    const bytes = Buffer.concat(rest === null ? [chunk] : [rest, chunk])
    if (!isComplete(bytes)) {
      this.rest = bytes
      if (bytes.length > ANSWER_BYTES_MAX) this.socket.destroy()
      return
    }
    this.rest = null
    const status = statusOf(bytes)
    if (status < 400) this.last = { bytes, status }
    this.settle(status, status < 400 ? '' : codeOf(bytes))
  }

  private lose (): void {
    this.lost = true
    this.settle(0)
  }

  private settle (status: number, code = ''): void {
    if (!this.waiting) return
    this.waiting = false
    this.onAnswer(status, code)
  }
}

/** The three digits after "HTTP/1.1 ". */
export function statusOf (answer: Buffer): number {
  return Number(answer.toString('latin1', STATUS_AT, STATUS_AT + 3))
}

/** The code of the error that an answer names; empty if it names none. */
export function codeOf (answer: Buffer): string {
  return /"code": ?"(\w+)"/.exec(answer.toString('latin1'))?.[1] ?? ''
}

/** Whether the bytes are a whole answer. */
export function isComplete (bytes: Buffer): boolean {
  const end = bytes.indexOf(HEAD_END)
  if (end < 0) return false
  const head = bytes.toString('latin1', 0, end).toLowerCase()
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1]
  const bodyStart = end + HEAD_END.length
  if (length !== undefined) return bytes.length - bodyStart >= Number(length)
  if (head.includes('\r\ntransfer-encoding: chunked')) return bytes.toString('latin1', bytes.length - LAST_CHUNK.length) === LAST_CHUNK
  // 204 and the like have no body.
  return true
}
