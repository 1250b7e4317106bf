/**
 * A program that floods a port with malformed packets and prints how many it sent. Arguments: port, duration in ms.
 */
import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'

const PACKETS_A_TURN = 64
const [port, durationMs] = process.argv.slice(2).map(Number)
const valid = Buffer.from('9501a362616405009193a153c0cb40524d70a3d70a3d', 'hex')
const packets = Array.from({ length: 256 }, (_, index) => {
  // Half start like a valid frame, to get deep into the decoder.
  const packet = index % 2 === 0
    ? randomBytes(1 + index * 5)
    : Buffer.concat([valid.subarray(0, 1 + index % (valid.length - 1)), randomBytes(index)])
  packet[packet.length - 1] = 0xc1
  return packet
})
const socket = createSocket('udp4')
const endMs = performance.now() + (durationMs ?? 0)
let sent = 0

function turn (): void {
  if (performance.now() >= endMs) {
    process.stdout.write(`${sent}\n`)
    socket.close()
    return
  }
  let waiting = PACKETS_A_TURN
  for (let index = 0; index < PACKETS_A_TURN; index++) {
    const packet = packets[sent++ % packets.length]
    if (packet !== undefined) socket.send(packet, () => { if (--waiting === 0) setImmediate(turn) })
  }
}
socket.connect(port ?? 0, '127.0.0.1', turn)
