import { once } from 'node:events'
import { randomInt } from 'node:crypto'
import { createServer, type AddressInfo } from 'node:net'

/** Below the ports that Linux gives to sockets which ask for any (32768 and above). */
const QUIET_PORTS = [20_000, 32_000] as const

/** A TCP port of 127.0.0.1 that nobody listens on at the moment. */
export async function freePort (): Promise<number> {
  return await probe(0)
}

/** As freePort(), but one that no connection and no listener on any port takes meanwhile. */
export async function quietPort (): Promise<number> {
  for (;;) {
    try {
      return await probe(randomInt(...QUIET_PORTS))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

async function probe (wanted: number): Promise<number> {
  const server = createServer().listen(wanted, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await once(server.close(), 'close')
  return port
}
