/** The ports of the server: free, and never 0. */
import { createServer, type AddressInfo } from 'node:net'
import type { Config } from '../config/settings.js'
import { freeUdpPorts } from '../ingress/udp/bind.js'
import { StartupError } from '../support/startup-error.js'

export interface Ports {
  readonly port: number
  readonly udpPorts: readonly number[]
}

/** Rejects with a StartupError that says what to do. */
export async function freePorts ({ host, port, udpPorts }: Pick<Config, 'host' | 'port' | 'udpPorts'>): Promise<Ports> {
  const free = await freePort(host, port)
  try {
    return { port: free, udpPorts: await freeUdpPorts(host, udpPorts) }
  } catch (cause) {
    throw new StartupError((cause as Error).message, { cause })
  }
}

/**
 * The port, after checking that nobody listens on it: workers share it through SO_REUSEPORT, and so could, unnoticed,
 * another deployment. Port 0 becomes a free port.
 */
async function freePort (host: string, port: number): Promise<number> {
  const probe = createServer()
  return await new Promise((resolve, reject) => {
    probe.once('error', (cause) => reject(new StartupError(portFault(cause, host, port), { cause })))
    probe.listen({ host, port, exclusive: true }, () => {
      const { port: bound } = probe.address() as AddressInfo
      probe.close(() => resolve(bound))
    })
  })
}

function portFault (error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `Port ${port} is in use by another program: stop it, or choose another port with PORT or --port.`
    case 'EACCES': return `No permission to listen on port ${port}: set PORT to one above 1023.`
    case 'EADDRNOTAVAIL': return `${host} is not a local address: set another HOST.`
    default: return `Cannot listen on ${host}:${port}: ${error.message}.`
  }
}
