/** A worker's UDP socket, and its counters as metrics. */
import { listenUdp, type UdpCounters } from '../ingress/udp/listener.js'
import type { OpenListener } from './listener.js'
import type { WorkerMetrics } from './worker-metrics.js'

export const openUdpListener: OpenListener = async ({ settings, pipelines, metrics, log }) => {
  const { config: { host, udpReceiveBufferBytes }, listener: { port }, takesOver } = settings
  const options = { host, port, receiveBufferBytes: udpReceiveBufferBytes, takesOver }
  const listener = await listenUdp(options, pipelines.telemetry, log)
  countUdp(metrics, () => listener.counters())
  return {
    engine: 'udp',
    refresh: async () => { await listener.refreshKernelDrops() },
    udp: () => {
      const { port, receiveBufferBytes } = listener
      return { port, receiveBufferBytes, counters: listener.counters() }
    },
    senders: ({ offset, limit, sender }) => listener.listSenders(offset, limit, sender),
    useTls: async () => { await Promise.resolve() },
    catchUp: async () => { await listener.catchUp() },
    takeOver: (senders) => { listener.takeOver(senders) },
    retire: async () => await listener.leave(),
    close: async () => { await listener.close() }
  }
}

/** The outcomes add up to all packets read. */
function packetOutcomes ({ taken, malformed, duplicates, stale, shed }: UdpCounters): Record<string, number> {
  const malformedPackets = Object.values(malformed).reduce((sum, packets) => sum + packets, 0)
  return { taken, malformed: malformedPackets, duplicate: duplicates, stale, shed }
}

function countUdp (metrics: WorkerMetrics, read: () => UdpCounters): void {
  const count = (name: string, help: string, value: (udp: UdpCounters) => number): void => {
    metrics.counter({ name: `orbitstream_udp_${name}_total`, help }, (counter) => counter.inc(value(read())))
  }
  metrics.counter({
    name: 'orbitstream_udp_packets_total',
    help: 'UDP packets read, by outcome.',
    labelNames: ['outcome']
  }, (counter) => {
    for (const [outcome, packets] of Object.entries(packetOutcomes(read()))) counter.inc({ outcome }, packets)
  })
  metrics.counter({
    name: 'orbitstream_udp_malformed_packets_total',
    help: 'Malformed UDP packets by reason.',
    labelNames: ['reason']
  }, (counter) => {
    for (const [reason, packets] of Object.entries(read().malformed)) counter.inc({ reason }, packets)
  })
  count('points', 'Points taken from UDP packets.', ({ points }) => points)
  count('bytes', 'Bytes of UDP packets read.', ({ bytes }) => bytes)
  count('heartbeats', 'Packets without points.', ({ heartbeats }) => heartbeats)
  count('duplicate_points', 'Points in duplicate packets.', ({ duplicatePoints }) => duplicatePoints)
  count('stale_points', 'Points in packets too late to be told from duplicates.', ({ stalePoints }) => stalePoints)
  count('shed_points', 'Points in packets dropped because the journal was full.', ({ shedPoints }) => shedPoints)
  count('gap_packets', 'Packets missing when a higher number arrived.', ({ gaps }) => gaps)
  count('late_packets', 'Missing packets that arrived after all.', ({ late }) => late)
  count('stray_packets', 'Packets far outside their sender\'s sequence, with no successors.', ({ strays }) => strays)
  count('kernel_drops', 'Datagrams dropped by the kernel before being read.', ({ kernelDrops }) => kernelDrops ?? 0)
}
