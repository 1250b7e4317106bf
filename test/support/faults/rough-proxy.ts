/** A UDP proxy that drops, reorders and repeats datagrams reproducibly from a seed. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'
import { Random } from '../../../lib/sim/fleet/random.js'

const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024

export interface Roughness {
  readonly seed: number
  /** Probabilities, 0 to 1. */
  readonly drop: number
  readonly repeat: number
  readonly delay: number
  /** How many packets may overtake a delayed one. */
  readonly delayPacketsMax: number
}

export interface RoughProxy {
  readonly port: number
  readonly dropped: () => number
  readonly repeated: () => number
  readonly delayed: () => number
  /** Stops all of this, and sends what was held back. */
  smooth (): void
}

export async function startRoughProxy (t: Test, targetPort: number, roughness: Roughness): Promise<RoughProxy> {
  const [inside, outside] = [createSocket('udp4'), createSocket('udp4')]
  t.teardown(() => {
    inside.close()
    outside.close()
  })
  inside.bind(0, '127.0.0.1')
  outside.connect(targetPort, '127.0.0.1')
  await Promise.all([once(inside, 'listening'), once(outside, 'connect')])
  // Drops in the proxy's own receive buffer would not be counted.
  inside.setRecvBufferSize(RECEIVE_BUFFER_BYTES)
  const random = new Random(roughness.seed, 0)
  let held: Array<{ readonly packet: Buffer, left: number }> = []
  let isRough = true
  const counts = { dropped: 0, repeated: 0, delayed: 0 }
  const pass = (packet: Buffer): void => { outside.send(packet) }
  const hold = (packet: Buffer): void => {
    held.push({ packet, left: 1 + Math.floor(random.unit() * roughness.delayPacketsMax) })
  }
  inside.on('message', (packet) => {
    for (const each of held) if (--each.left === 0) pass(each.packet)
    held = held.filter(({ left }) => left > 0)
    if (isRough && random.unit() < roughness.drop) {
      counts.dropped++
      return
    }
    if (isRough && random.unit() < roughness.repeat) {
      counts.repeated++
      hold(packet)
    }
    if (isRough && random.unit() < roughness.delay) {
      counts.delayed++
      hold(packet)
    } else {
      pass(packet)
    }
  })
  return {
    port: inside.address().port,
    dropped: () => counts.dropped,
    repeated: () => counts.repeated,
    delayed: () => counts.delayed,
    smooth: () => {
      isRough = false
      for (const { packet } of held) pass(packet)
      held = []
    }
  }
}
