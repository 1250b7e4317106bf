/**
 * Sends a worker's anomalies to the primary for live streams. They are read from payloads once those are durable, those
 * of limits on change are added once they are stored; at most EVENTS_MAX every FLUSH_MS, the rest are only counted. At
 * most one message is in flight, so a slow or stuck primary costs the worker nothing.
 */
import { anomaliesOf, anomalyCountOf } from '../pipeline/rows/payload.js'
import { anomalyRowEnd, readAnomalyRow, type Anomaly } from '../pipeline/rows/anomaly-rows.js'

/** Contents of one message: some anomalies as JSON, and how many there were in total. */
export interface FoundAnomalies {
  readonly anomalies: readonly string[]
  readonly total: number
}

const FLUSH_MS = 100
const EVENTS_MAX = 200

export class AnomalyFeed {
  private anomalies: string[] = []
  private total = 0
  private timer: NodeJS.Timeout | null = null
  private sending = false

  /** @param send calls back once the message has left the process */
  constructor (private readonly send: (found: FoundAnomalies, onSent: () => void) => void) {}

  /** @param payload format: payload.ts; not retained */
  take (payload: Buffer): void {
    const count = anomalyCountOf(payload)
    if (count === 0) return
    this.total += count
    if (this.anomalies.length < EVENTS_MAX) this.read(anomaliesOf(payload))
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS)
  }

  /** @param total how many there were: these, and others */
  add (anomalies: readonly Anomaly[], total: number): void {
    this.total += total
    for (const anomaly of anomalies.slice(0, EVENTS_MAX - this.anomalies.length)) {
      this.anomalies.push(JSON.stringify(anomaly))
    }
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS)
  }

  private read (rows: Buffer): void {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.length)
    for (let at = 0; at < rows.length && this.anomalies.length < EVENTS_MAX;) {
      const end = anomalyRowEnd(view, at)
      this.anomalies.push(JSON.stringify(readAnomalyRow(rows.subarray(at, end))))
      at = end
    }
  }

  private flush (): void {
    this.timer = null
    if (this.sending) {
      this.timer = setTimeout(() => this.flush(), FLUSH_MS)
      return
    }
    const { anomalies, total } = this
    this.anomalies = []
    this.total = 0
    this.sending = true
    this.send({ anomalies, total }, () => { this.sending = false })
  }
}
