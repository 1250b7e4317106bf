/**
 * One keep-alive HTTP/1.1 connection with at most one request on it, as light as it gets: the load generator shares
 * the machine's cores with what it measures. It reads of an answer what it must: the status and where the answer ends.
 */
import { connect, type Socket } from 'node:net'

const HEAD_END = Buffer.from('\r\n\r\n')
const LAST_CHUNK = '0\r\n\r\n'
const ANSWER_BYTES_MAX = 65_536
const STATUS_AT = 9

export class RawConnection {
  /** Called with the status of an answer; 0: the connection was lost before it came. */
  onAnswer: (status: number) => void = () => {}
  private readonly socket: Socket
  private rest: Buffer | null = null
  private waiting = false
  private lost = false

  private constructor (socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.read(chunk))
    socket.on('error', () => this.lose())
    socket.on('close', () => this.lose())
  }

  static async open (host: string, port: number): Promise<RawConnection> {
    return await new Promise((resolve, reject) => {
      const socket = connect({ host, port })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket))
      })
    })
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

  private read (chunk: Buffer): void {
    const bytes = this.rest === null ? chunk : Buffer.concat([this.rest, chunk])
    if (!isComplete(bytes)) {
      this.rest = bytes
      if (bytes.length > ANSWER_BYTES_MAX) this.socket.destroy()
      return
    }
    this.rest = null
    this.settle(statusOf(bytes))
  }

  private lose (): void {
    this.lost = true
    this.settle(0)
  }

  private settle (status: number): void {
    if (!this.waiting) return
    this.waiting = false
    this.onAnswer(status)
  }
}

/** The three digits after "HTTP/1.1 ". */
export function statusOf (answer: Buffer): number {
  return Number(answer.toString('latin1', STATUS_AT, STATUS_AT + 3))
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
