/** A UDP socket that only counts packets with points. */
import { createSocket } from 'node:dgram'
import { serveLoad } from './child.js'

export interface CountResult {
  readonly packets: number
}

/** As requested by the product; the kernel may grant less. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
const HEARTBEAT_BYTES_MAX = 100

serveLoad<CountResult>(async () => {
  let packets = 0
  let finish: () => void = () => {}
  const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES })
  socket.on('message', ({ length }) => { if (length > HEARTBEAT_BYTES_MAX) packets++ })
  await new Promise<void>((resolve) => { socket.bind(0, '127.0.0.1', resolve) })
  return {
    info: socket.address().port,
    run: async () => {
      await new Promise<void>((resolve) => { finish = resolve })
      socket.close()
      return { packets }
    },
    finish: () => finish()
  }
})
