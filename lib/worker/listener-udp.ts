/** A worker's UDP socket, and its counters as metrics. */
import { listenUdp, type UdpCounters } from '../ingress/udp/listener.js'
import type { Listener, ListenerParts } from './listener.js'
import type { WorkerMetrics } from './worker-metrics.js'

export async function openUdpListener ({ settings, pipeline, metrics, log }: ListenerParts): Promise<Listener> {
  const { config, listener: { port } } = settings
  const listener = await listenUdp({ host: config.host, port, receiveBufferBytes: config.udpReceiveBufferBytes }, pipeline, log)
  countUdp(metrics, () => listener.counters())
  return {
    engine: 'udp',
    refresh: async () => { await listener.refreshKernelDrops() },
    udp: () => ({ port: listener.port, receiveBufferBytes: listener.receiveBufferBytes, counters: listener.counters() }),
    senders: ({ offset, limit, sender }) => listener.listSenders(offset, limit, sender),
    catchUp: async () => { await listener.catchUp() },
    close: async () => { await listener.close() }
  }
}

/** Packets by what became of them; the outcomes add up to all packets that were read. */
function packetOutcomes ({ taken, malformed, duplicates, stale, shed }: UdpCounters): Record<string, number> {
  const malformedPackets = Object.values(malformed).reduce((sum, packets) => sum + packets, 0)
  return { taken, malformed: malformedPackets, duplicate: duplicates, stale, shed }
}

export function countUdp (metrics: WorkerMetrics, read: () => UdpCounters): void {
  const count = (name: string, help: string, value: (udp: UdpCounters) => number): void => {
    metrics.counter({ name: `orbitstream_udp_${name}_total`, help }, (counter) => counter.inc(value(read())))
  }
  metrics.counter({ name: 'orbitstream_udp_packets_total', help: 'UDP packets that were read, by what became of them.', labelNames: ['outcome'] }, (counter) => {
    for (const [outcome, packets] of Object.entries(packetOutcomes(read()))) counter.inc({ outcome }, packets)
  })
  metrics.counter({ name: 'orbitstream_udp_malformed_packets_total', help: 'Refused UDP packets by reason.', labelNames: ['reason'] }, (counter) => {
    for (const [reason, packets] of Object.entries(read().malformed)) counter.inc({ reason }, packets)
  })
  count('points', 'Points taken from UDP packets.', ({ points }) => points)
  count('bytes', 'Bytes of UDP packets that were read.', ({ bytes }) => bytes)
  count('heartbeats', 'Frames without points.', ({ heartbeats }) => heartbeats)
  count('duplicate_points', 'Points of packets that had come before.', ({ duplicatePoints }) => duplicatePoints)
  count('stale_points', 'Points of packets that came too late to know whether they had come before.', ({ stalePoints }) => stalePoints)
  count('shed_points', 'Points of packets that were dropped for want of room.', ({ shedPoints }) => shedPoints)
  count('gap_packets', 'Packets that were not there when one of a higher number came.', ({ gaps }) => gaps)
  count('late_packets', 'Packets of a gap that came after all.', ({ late }) => late)
  count('stray_packets', 'Packets whose number or epoch was far from all that their sender had sent, and that no others followed.', ({ strays }) => strays)
  count('kernel_drops', 'Datagrams that the kernel dropped before they could be read.', ({ kernelDrops }) => kernelDrops ?? 0)
}
