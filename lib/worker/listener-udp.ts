/** A worker's UDP socket, and its counters as metrics. */
import { listenUdp, type UdpCounters } from '../ingress/udp/dgram-listener.js'
import type { OpenListener } from './listener.js'
import { readSenderMarks, SenderMarksFile } from './sender-marks.js'
import type { WorkerMetrics } from './worker-metrics.js'

export const openUdpListener: OpenListener = async ({ settings, pipelines, metrics, log }) => {
  const { config: { host, dataDir, udpReceiveBufferBytes, udpOpen }, listener: { port }, takesOver } = settings
  const { udpKeys: keys } = settings
  const marks = keys === null ? [] : await readSenderMarks(dataDir, log)
  const isOpen = udpOpen === 'on'
  const listener = await listenUdp(
    { host, port, receiveBufferBytes: udpReceiveBufferBytes, takesOver, keys, isOpen, marks },
    pipelines, log)
  const file = keys === null ? null : new SenderMarksFile(dataDir, port, listener, log)
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
    useUdpKeys: (keys) => { listener.useKeys(keys) },
    catchUp: async () => { await listener.catchUp() },
    takeOver: (senders) => {
      listener.takeOver(senders)
      file?.changed()
    },
    retire: async () => {
      await file?.stop()
      return await listener.leave()
    },
    close: async () => {
      await listener.close()
      await file?.close()
    }
  }
}

/** The outcomes add up to all packets read. */
function packetOutcomes ({ taken, denied, malformed, duplicates, stale, shed }: UdpCounters): Record<string, number> {
  const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0)
  return { taken, denied: sum(denied), malformed: sum(malformed), duplicate: duplicates, stale, shed }
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
  metrics.counter({
    name: 'orbitstream_udp_denied_packets_total',
    help: 'UDP packets denied because of who sent them, by reason: keys, senders, satellites.',
    labelNames: ['reason']
  }, (counter) => {
    for (const [reason, packets] of Object.entries(read().denied)) counter.inc({ reason }, packets)
  })
  count('authenticated_packets', 'UDP packets with a valid key.', ({ authenticated }) => authenticated)
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
