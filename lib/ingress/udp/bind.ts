/** Opens UDP sockets, and says in a sentence for people why one cannot be had. */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/**
 * A socket at this address; port 0 picks a free one. Rejects with a sentence for people if the address cannot be had
 * (the system's error is its cause).
 */
export async function bindUdp (host: string, port: number): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      socket.close()
      reject(new Error(bindFault(error, host, port), { cause: error }))
    }
    socket.once('error', onError)
    // exclusive: in a cluster the primary would otherwise share one socket out among the workers.
    socket.bind({ address: host, port, exclusive: true }, () => {
      socket.off('error', onError)
      resolve()
    })
  })
  return socket
}

function bindFault (error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE': return `UDP port ${port} is in use by another program: stop it, or choose another with UDP_PORT.`
    case 'EACCES': return `UDP port ${port} may not be used by this user: choose one above 1023 with UDP_PORT.`
    case 'EADDRNOTAVAIL': return `${host} is not an address of this machine: choose another with HOST.`
    default: return `Cannot listen on UDP ${host}:${port}: ${error.message}.`
  }
}

/**
 * Makes sure that nobody holds these ports, and lets them go again; each 0 becomes a free one. Rejects as bindUdp does.
 */
export async function freeUdpPorts (host: string, ports: readonly number[]): Promise<number[]> {
  // All are held until the last one is known, so that no two zeros become the same port.
  const held: Socket[] = []
  try {
    for (const port of ports) held.push(await bindUdp(host, port))
    return held.map(socket => socket.address().port)
  } finally {
    await Promise.all(held.map(async socket => await new Promise<void>(resolve => { socket.close(resolve) })))
  }
}
