/** Wires up a simulation: fleet, pacer, transport, run and progress, from start to summary. */
import type { Catalogue } from '../../protocol/catalogue.js'
import type { BodyFormat } from './send/bodies.js'
import { HttpTransport } from './send/http-transport.js'
import { Fleet } from './fleet/model.js'
import { Pacer } from './pacer.js'
import { Progress, type ProgressStream } from './progress.js'
import { Run } from './run.js'
import { TruthFile } from './fleet/truth.js'
import { summarize, type Summary } from './summary.js'
import { UdpTransport, type UdpTransportOptions } from './send/udp-transport.js'

const DRAIN_DEADLINE_MS = 10_000

export interface SimulationOptions {
  /** Of the server. */
  readonly catalogue: Catalogue
  readonly url: URL
  readonly satellites: number
  /** Points per second of each satellite. */
  readonly rate: number
  /** 0: until stopped. */
  readonly durationMs: number
  readonly anomalyRate: number
  readonly batchSize: number
  readonly seed: number
  readonly format: BodyFormat
  readonly connectionsMax: number
  readonly token: string | null
  /** File to write the injected anomalies to, see truth.ts; null: none. */
  readonly truthFile: string | null
  /** Null: HTTP. */
  readonly udp: UdpOptions | null
  /** How long to wait for the last responses. */
  readonly drainDeadlineMs?: number
}

/** Points are sent over UDP; the server is asked over HTTP what arrived. */
export type UdpOptions = Pick<UdpTransportOptions, 'udpUrl' | 'pointsPerPacket' | 'sender'>

/**
 * Sends points until the time is up or `stop` is aborted, waits for the responses, and summarizes the run.
 *
 * @param stream receives the progress display
 */
export async function simulate (
  options: SimulationOptions,
  stream: ProgressStream,
  stop: AbortSignal
): Promise<Summary> {
  const { catalogue } = options
  const pointsPerSecond = options.satellites * options.rate
  let anomalies = 0
  const truth = options.truthFile === null ? null : new TruthFile(options.truthFile)
  const fleet = new Fleet({
    ...options,
    onAnomaly: ({ satellite, metric, value }) => {
      anomalies++
      truth?.write(fleet.ids[satellite] ?? '', catalogue.metrics[metric]?.name ?? '', run.pointTimeMs, value)
    }
  })
  const pacer = new Pacer({ pointsPerSecond, durationMs: options.durationMs === 0 ? Infinity : options.durationMs })
  const { ids } = fleet
  const { schema } = catalogue
  const udp = options.udp === null
    ? null
    : await UdpTransport.connect({ ...options.udp, url: options.url, token: options.token, ids, schema })
  const transport = udp ?? new HttpTransport({ ...options, ids, schema })
  const run = new Run(fleet, pacer, transport)
  const progress = new Progress(stream, {
    stats: transport.stats,
    elapsedMs: () => run.sendingMs,
    skippedPoints: () => pacer.skippedPoints + run.skippedPoints
  })
  stop.addEventListener('abort', () => run.stop())
  try {
    if (!stop.aborted) await run.start()
    await transport.drain(options.drainDeadlineMs ?? DRAIN_DEADLINE_MS)
  } finally {
    progress.stop()
    await transport.close()
    await truth?.close()
  }
  return summarize({ seed: options.seed, satellites: options.satellites, pointsPerSecond }, {
    sendingMs: run.sendingMs,
    stats: transport.stats,
    latencies: progress.latencies,
    skippedLate: pacer.skippedPoints,
    skippedUnanswered: run.skippedPoints,
    anomalies,
    udp: udp?.outcome ?? null
  })
}
