/**
 * One keep-alive HTTP/1.1 connection with at most one request in flight, as light as possible: the load generator
 * shares the machine's CPUs with what it measures.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { readAnswer } from '../../lib/sim/send/http-answer.js'
import type { Target } from '../bodies.js'

const READ_BYTES = 4096

export class RawConnection {
  /** Called with a response's status and its error code, if any; status 0: the connection was lost first. */
  onAnswer: (status: number, code: string) => void = () => {}
  private readonly socket: Socket
  private rest: Buffer | null = null
  /** Most responses equal the previous one, byte by byte. */
  private last: { readonly bytes: Buffer, readonly status: number } | null = null
  private waiting = false
  private lost = false

  private constructor ({ host, port, tls = false }: Pick<Target, 'host' | 'port' | 'tls'>) {
    // Reads into one buffer: no stream, and no allocation per response.
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        this.read((buffer as Buffer).subarray(0, bytes))
        return true
      }
    }
    if (tls) {
      // The certificate is the benchmark's own. TLS sockets do not read into a buffer of ours.
      const socket = connectTls({ host, port, rejectUnauthorized: false })
      this.socket = socket.setNoDelay().on('data', (chunk: Buffer) => this.read(chunk))
    } else {
      this.socket = connect({ host, port, noDelay: true, onread })
    }
    this.socket.on('error', () => this.lose())
    this.socket.on('close', () => this.lose())
  }

  static async open (target: Pick<Target, 'host' | 'port' | 'tls'>): Promise<RawConnection> {
    const connection = new RawConnection(target)
    await once(connection.socket, target.tls === true ? 'secureConnect' : 'connect')
    return connection
  }

  get isLost (): boolean {
    return this.lost
  }

  /** Sends a request while none is in flight; the buffer must not change until the response. */
  send (request: Buffer): void {
    this.waiting = true
    if (this.lost) queueMicrotask(() => this.settle(0))
    else this.socket.write(request)
  }

  close (): void {
    this.socket.destroy()
  }

  /** @param chunk overwritten by the next read */
  private read (chunk: Buffer): void {
    const { last, rest } = this
    if (rest === null && last?.bytes.equals(chunk) === true) {
      this.settle(last.status)
      return
    }
    const bytes = Buffer.concat(rest === null ? [chunk] : [rest, chunk])
    const answer = readAnswer(bytes)
    if (answer === 'broken') {
      this.socket.destroy()
    } else if (answer === 'incomplete') {
      this.rest = bytes
    } else {
      this.rest = null
      const { status } = answer
      if (status < 400) this.last = { bytes, status }
      this.settle(status, status < 400 ? '' : codeOf(answer.body))
    }
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

/** The error code in a body; empty if there is none. */
function codeOf (body: string): string {
  return /"code": ?"(\w+)"/.exec(body)?.[1] ?? ''
}
