/**
 * Whether a server is there at all. A host that has lost power does not answer, and if bytes are under way TCP notices
 * only after a quarter of an hour. Another host may have become the primary long before, so nobody should wait so long.
 *
 * An SSLRequest is answered with one byte before any login, by the postmaster and by poolers alike. It takes none of
 * the server's sessions and leaves no line in its log.
 *
 * Source: PostgreSQL manual, "Frontend/Backend Protocol": "SSL Session Encryption".
 */
import { connect } from 'node:net'
import type { TargetHost } from './connection-target.js'

/** Length, and the number of the request. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

/**
 * Resolves with false if there is no answer within the time.
 * @param host an address, since a name may lead to another server than the connection's
 */
export async function answers ({ host, port }: TargetHost, timeoutMs: number): Promise<boolean> {
  const socket = connect(host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port })
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.once('close', () => resolve(false))
      socket.write(SSL_REQUEST)
    })
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}
