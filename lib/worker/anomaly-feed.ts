/**
 * A worker's anomalies on their way to the primary, for those who watch them live: read from payloads once these are
 * durable, at most EVENTS_MAX each FLUSH_MS; all others are counted only. One message under way: a primary that is
 * slow or stuck costs the worker nothing.
 */
import { anomaliesOf, anomalyCountOf } from '../pipeline/rows/payload.js'
import { anomalyRowEnd, readAnomalyRow } from '../pipeline/rows/anomaly-rows.js'

/** What one message carries: some anomalies as JSON, and how many there were. */
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

  /** @param send calls back when the message has left */
  constructor (private readonly send: (found: FoundAnomalies, onSent: () => void) => void) {}

  /** @param payload as in payload.ts; nothing of it is kept */
  take (payload: Buffer): void {
    const count = anomalyCountOf(payload)
    if (count === 0) return
    this.total += count
    if (this.anomalies.length < EVENTS_MAX) this.read(anomaliesOf(payload))
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
