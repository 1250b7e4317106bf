/**
 * Ground truth: the anomalies that a run injected, one per line.
 *
 *   {"satellite_id":"SAT-0042","metric":"battery_charge_percent","time":"2026-11-23T12:00:00.250Z","value":4.51}
 */
import { once } from 'node:events'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { finished } from 'node:stream/promises'
import { createInterface } from 'node:readline'
import { StartupError } from '../../support/startup-error.js'

export interface TrueAnomaly {
  readonly satellite_id: string
  readonly metric: string
  /** ISO 8601. */
  readonly time: string
  readonly value: number
}

export class TruthFile {
  private constructor (private readonly stream: WriteStream) {
    // Reported by close(), so that the run is not lost.
    stream.on('error', () => {})
  }

  /** Rejects if the file cannot be created. */
  static async open (path: string): Promise<TruthFile> {
    const stream = createWriteStream(path)
    await once(stream, 'open')
    return new TruthFile(stream)
  }

  write (satelliteId: string, metric: string, timeMs: number, value: number): void {
    const line: TrueAnomaly = {
      satellite_id: satelliteId,
      metric,
      time: new Date(timeMs).toISOString(),
      value
    }
    this.stream.write(`${JSON.stringify(line)}\n`)
  }

  /** Rejects if a line could not be written. */
  async close (): Promise<void> {
    this.stream.end()
    await finished(this.stream)
  }
}

/** Rejects if a line is not as written by write(). */
export async function readTruth (path: string): Promise<TrueAnomaly[]> {
  const found: TrueAnomaly[] = []
  let number = 0
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number++
    const anomaly = line === '' ? null : readLine(line)
    if (anomaly === undefined) throw new StartupError(`${path}, line ${number}: not an anomaly as written by --truth`)
    if (anomaly !== null) found.push(anomaly)
  }
  return found
}

function readLine (line: string): TrueAnomaly | undefined {
  try {
    const { satellite_id: id, metric, time, value } = JSON.parse(line) as Record<string, unknown>
    const valid = typeof id === 'string' && typeof metric === 'string' && typeof value === 'number' &&
      typeof time === 'string' && !Number.isNaN(Date.parse(time))
    return valid ? { satellite_id: id, metric, time, value } : undefined
  } catch {
    return undefined
  }
}
