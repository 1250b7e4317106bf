/** A UDP socket that is connected to one address. */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'

/**
 * @param url with a port
 * @throws {Error} if the name of the host cannot be resolved, or there is no route to it
 */
export async function connectUdp ({ hostname, port }: URL): Promise<Socket> {
  const { address, family } = await lookup(hostname.replace(/^\[|\]$/g, ''))
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  try {
    // Not with a callback: it would get the error, and look like a success.
    socket.connect(Number(port), address)
    await once(socket, 'connect')
  } catch (error) {
    socket.close()
    throw error
  }
  // Errors that belong to no packet, such as ICMP messages.
  socket.on('error', () => {})
  return socket
}
