/** Clients of a stream that send their request and never read what comes. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export class SilentReaders {
  private constructor (private readonly sockets: readonly Socket[]) {}

  static async open (port: number, path: string, count: number): Promise<SilentReaders> {
    const sockets = await Promise.all(Array.from({ length: count }, async () => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.on('error', () => {})
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
      return socket
    }))
    return new SilentReaders(sockets)
  }

  /** Those that are no readers any more, or never were; reads the beginnings. */
  problems (): string[] {
    const gone = this.sockets.filter(({ readyState }) => readyState !== 'open').length
    const refused = this.sockets.filter((socket) => !/^HTTP\/1.1 200/.test(String(socket.read() ?? ''))).length
    return [
      ...gone > 0 ? [`${gone} silent readers were cut off`] : [],
      ...refused > 0 ? [`${refused} silent readers were not admitted`] : []
    ]
  }

  close (): void {
    for (const socket of this.sockets) socket.destroy()
  }
}
