/** Wires up a simulation: for each stream fleet, pacer, outlet and run; progress, from start to summary. */
import { TELEMETRY_ID, type Catalogue } from '../../protocol/catalogue.js'
import type { BodyFormat } from './send/bodies.js'
import { HttpTransport } from './send/http-transport.js'
import { Fleet } from './fleet/model.js'
import { Pacer } from './pacer.js'
import { Progress, type ProgressStream } from './run-progress.js'
import { Run } from './run.js'
import { createStats, type Transport } from './send/transport.js'
import type { TruthFile } from './fleet/truth.js'
import { summarize, type Summary } from './summary.js'
import { UdpTransport, type UdpTransportOptions } from './send/udp-transport.js'

const DRAIN_DEADLINE_MS = 10_000

export interface SimulationOptions {
  /** Of the server. */
  readonly catalogue: Catalogue
  readonly url: URL
  readonly satellites: number
  /** Points per second of each satellite, in streams whose interval the catalogue does not give. */
  readonly rate: number
  /** 0: until stopped. */
  readonly durationMs: number
  readonly anomalyRate: number
  readonly batchSize: number
  readonly seed: number
  readonly format: BodyFormat
  readonly connectionsMax: number
  readonly token: string | null
  /** Gets the injected anomalies; null: nobody does. */
  readonly truth: TruthFile | null
  /** Null: HTTP. */
  readonly udp: UdpOptions | null
  /** How long to wait for the last responses. */
  readonly drainDeadlineMs?: number
}

/** Points are sent over UDP; the server is asked over HTTP what arrived. */
export type UdpOptions = Pick<UdpTransportOptions, 'udpUrl' | 'pointsPerPacket' | 'sender' | 'key'>

/** One stream of the simulation. */
interface Part {
  readonly pacer: Pacer
  readonly run: Run
}

/**
 * Sends points of every stream until the time is up or `stop` is aborted, waits for the responses, and summarizes the
 * run. A stream whose interval the catalogue gives keeps to that, others to the rate.
 *
 * @param stream receives the progress display
 */
export async function simulate (
  options: SimulationOptions,
  stream: ProgressStream,
  stop: AbortSignal
): Promise<Summary> {
  let anomalies = 0
  let pointsPerSecond = 0
  const stats = createStats(options.udp === null)
  const { satellites, url, token, truth } = options
  // Over UDP, the packets of all streams have one sequence.
  const udp = options.udp === null ? null : await UdpTransport.connect({ ...options.udp, url, token, stats })
  const transports: Transport[] = udp === null ? [] : [udp]
  const parts: Part[] = []
  for (const sent of options.catalogue.live) {
    const rate = satellites * (sent.intervalMs === null ? options.rate : 1_000 / sent.intervalMs)
    pointsPerSecond += rate
    const fleet = new Fleet({
      ...options,
      stream: sent,
      // Of `telemetry` the seed itself: the same values as without other streams.
      seed: options.seed + sent.id - TELEMETRY_ID,
      onAnomaly: ({ satellite, metric, value }) => {
        anomalies++
        const name = sent.qualify(sent.metrics[metric]?.name ?? '')
        truth?.write(fleet.ids[satellite] ?? '', name, run.pointTimeMs, value)
      }
    })
    const { ids } = fleet
    const { schema } = sent
    const outlet = udp?.outlet(sent.name, schema, ids) ??
      new HttpTransport({ ...options, ids, schema, stream: sent.name, stats })
    if (outlet instanceof HttpTransport) transports.push(outlet)
    const durationMs = options.durationMs === 0 ? Infinity : options.durationMs
    const pacer = new Pacer({ pointsPerSecond: rate, pointsPerMessage: outlet.messagePoints, durationMs })
    const run = new Run(fleet, pacer, outlet)
    parts.push({ pacer, run })
  }
  const sum = (of: (part: Part) => number): number => parts.reduce((total, part) => total + of(part), 0)
  const sendingMs = (): number => Math.max(...parts.map(({ run }) => run.sendingMs))
  const progress = new Progress(stream, {
    stats,
    elapsedMs: sendingMs,
    // What counts begins when every stream is sent at its full rate.
    warmUpMs: Math.max(...parts.map(({ pacer }) => pacer.warmUpMs)),
    skippedPoints: () => sum(({ pacer, run }) => pacer.skippedPoints + run.skippedPoints)
  })
  stop.addEventListener('abort', () => {
    for (const { run } of parts) run.stop()
    progress.stopped()
  })
  try {
    if (!stop.aborted) await Promise.all(parts.map(async ({ run }) => await run.start()))
    await Promise.all(transports.map(
      async (transport) => await transport.drain(options.drainDeadlineMs ?? DRAIN_DEADLINE_MS)))
  } finally {
    progress.stop()
    await Promise.all(transports.map(async (transport) => await transport.close()))
  }
  return summarize({ seed: options.seed, satellites: options.satellites, pointsPerSecond }, {
    sendingMs: sendingMs(),
    stats,
    counted: progress.counted,
    skippedLate: sum(({ pacer }) => pacer.skippedPoints),
    skippedUnanswered: sum(({ run }) => run.skippedPoints),
    anomalies,
    udp: udp?.outcome ?? null
  })
}
