/** Binds UDP sockets, and explains in a sentence why one cannot be bound. */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'

/**
 * Port 0 picks a free one. Rejects with a readable sentence, its cause the system error.
 * @param shared whether workers (node:cluster) that bind the same port get the same socket. It then exists, with what
 *   the kernel has received, until the last of them closes it.
 */
export async function bindUdp (host: string, port: number, shared = false): Promise<Socket> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      socket.close()
      reject(new Error(bindFault(error, host, port), { cause: error }))
    }
    socket.once('error', onError)
    socket.bind({ address: host, port, exclusive: !shared }, () => {
      socket.off('error', onError)
      resolve()
    })
  })
  return socket
}

function bindFault (error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE': return `UDP port ${port} is in use: stop the program that uses it, or set another UDP_PORT.`
    case 'EACCES': return `No permission to bind UDP port ${port}: set UDP_PORT to one above 1023.`
    case 'EADDRNOTAVAIL': return `${host} is not a local address: set another HOST.`
    default: return `Cannot listen on UDP ${host}:${port}: ${error.message}.`
  }
}

/** Checks that these ports are free, and replaces each 0 with a free one. Keeps none. Rejects as bindUdp does. */
export async function freeUdpPorts (host: string, ports: readonly number[]): Promise<number[]> {
  // Hold all of them until the last is known, or two zeros might get the same port.
  const held: Socket[] = []
  try {
    for (const port of ports) held.push(await bindUdp(host, port))
    return held.map(socket => socket.address().port)
  } finally {
    await Promise.all(held.map(async socket => await new Promise<void>(resolve => { socket.close(resolve) })))
  }
}
