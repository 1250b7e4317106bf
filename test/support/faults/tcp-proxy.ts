/**
 * A TCP proxy between workers and PostgreSQL that loses what matters most: the COMMIT, or its answer.
 *
 *   client ──bytes──▶ proxy ──bytes──▶ server
 *          ◀─bytes───       ◀─bytes───
 *
 * Only connections whose startup message names the application are affected; all others pass through untouched. A
 * treatment is armed for the next COMMIT and applies once.
 */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { Owner } from '../owner.js'

export type Treatment =
  /** The server commits, its answer is lost, and the connection is cut. */
  | 'answer lost'
  /** The server commits, and its answer is delayed. */
  | 'answer late'
  /** The connection is cut before COMMIT reaches the server, which notices. */
  | 'commit lost'
  /** The client is cut off; COMMIT reaches the server after the client has reconnected. */
  | 'commit late'

/** A simple query as node-postgres sends it: 'Q', length, text (PostgreSQL documentation, 53.7). */
const COMMIT = Buffer.from('Q\0\0\0\x0bCOMMIT\0', 'latin1')
/** CommandComplete. */
const COMMITTED = Buffer.from('COMMIT\0', 'latin1')
const LATE_MS = 700

export class TcpProxy {
  private armed: { readonly treatment: Treatment, readonly done: () => void } | null = null
  private readonly sockets = new Set<Socket>()

  private constructor (
    private readonly server: Server,
    private readonly target: URL,
    private readonly applicationName: string
  ) {
    server.on('connection', (client) => this.accept(client))
  }

  /** @param url of the database */
  static async start (owner: Owner, url: string, applicationName: string): Promise<TcpProxy> {
    const server = createServer()
    server.listen({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    const proxy = new TcpProxy(server, new URL(url), applicationName)
    owner.teardown(() => proxy.close())
    return proxy
  }

  /** The database's URL through the proxy. */
  get url (): string {
    const url = new URL(this.target)
    url.port = String((this.server.address() as AddressInfo).port)
    return url.href
  }

  /** Resolves once the treatment has been applied to the next COMMIT. */
  async treatNextCommit (treatment: Treatment): Promise<void> {
    await new Promise<void>((resolve) => { this.armed = { treatment, done: resolve } })
  }

  private close (): void {
    this.server.close()
    for (const socket of this.sockets) socket.destroy()
  }

  private accept (client: Socket): void {
    const server = connect(Number(this.target.port), this.target.hostname)
    const state = { treated: false, started: false, tail: Buffer.alloc(0) }
    for (const socket of [client, server]) {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      // On an error the other side sees its connection end.
      socket.on('error', () => {})
    }
    const pass = (chunk: Buffer): void => { server.write(chunk) }
    const fromServer = (chunk: Buffer): void => { client.write(chunk) }
    server.on('data', fromServer)
    server.on('close', () => client.destroy())
    client.on('close', () => { if (!state.treated) server.destroy() })
    client.on('data', (chunk: Buffer) => {
      if (!state.started) {
        state.started = true
        if (!chunk.includes(this.applicationName)) {
          client.off('data', client.listeners('data')[0] as () => void)
          client.on('data', pass)
        }
        pass(chunk)
        return
      }
      // A COMMIT split across two chunks is found in the second.
      const seen = Buffer.concat([state.tail, chunk])
      state.tail = seen.subarray(-COMMIT.length + 1)
      if (this.armed === null || !seen.includes(COMMIT)) {
        pass(chunk)
        return
      }
      const { treatment, done } = this.armed
      this.armed = null
      state.treated = true
      server.off('data', fromServer)
      void treat(treatment, client, server, chunk).then(() => {
        state.treated = false
        if (client.destroyed) server.destroy()
        else server.on('data', fromServer)
        done()
      })
    })
  }
}

/** @param commit the bytes that end with the COMMIT */
async function treat (treatment: Treatment, client: Socket, server: Socket, commit: Buffer): Promise<void> {
  switch (treatment) {
    case 'answer lost':
      server.write(commit)
      await answer(server)
      client.destroy()
      break
    case 'answer late': {
      server.write(commit)
      const bytes = await answer(server)
      await delay(LATE_MS)
      client.write(bytes)
      break
    }
    case 'commit lost':
      client.destroy()
      server.destroy()
      break
    case 'commit late':
      client.destroy()
      await delay(LATE_MS)
      server.write(commit)
      await answer(server)
  }
}

/** The server's output once it has confirmed the commit. */
async function answer (server: Socket): Promise<Buffer> {
  let bytes = Buffer.alloc(0)
  return await new Promise((resolve, reject) => {
    const read = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk])
      if (!bytes.includes(COMMITTED)) return
      server.off('data', read)
      resolve(bytes)
    }
    server.on('data', read)
    server.once('close', () => reject(new Error('the server ended before it answered COMMIT')))
  })
}
