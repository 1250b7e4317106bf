/**
 * Numbers the anomalies of all workers in one sequence, keeps the latest for clients that reconnect, and sends them to
 * every worker with a live stream. Bounds: EVENTS_KEPT anomalies, and one message in flight per worker. Clients see
 * anomalies that were not sent to their worker as a gap in the numbers.
 */
import type { AnomalyEvents, StreamStart } from '../../ingress/http/live/anomaly-stream.js'
import type { FoundAnomalies } from '../../worker/anomaly-feed.js'

interface Kept {
  readonly number: number
  readonly anomaly: string
}

/** A client that reconnects gets them in one message and one write. */
const EVENTS_KEPT = 1_000

export class AnomalyHub<Watcher> {
  private kept: Kept[] = []
  /** Number of the latest anomaly. */
  private head = 0
  private readonly watchers = new Set<Watcher>()
  private readonly busy = new Set<Watcher>()

  /**
   * @param run name of this run; numbers of another run are meaningless
   * @param send calls back once the message has left the process
   */
  constructor (
    private readonly run: string,
    private readonly send: (watcher: Watcher, events: AnomalyEvents, onSent: () => void) => void
  ) {}

  add ({ anomalies, total }: FoundAnomalies): void {
    const first = this.head + 1
    this.head += total
    anomalies.forEach((anomaly, index) => this.kept.push({ number: first + index, anomaly }))
    if (this.kept.length > EVENTS_KEPT) this.kept = this.kept.slice(-EVENTS_KEPT)
    for (const watcher of this.watchers) {
      if (this.busy.has(watcher)) continue
      this.busy.add(watcher)
      this.send(watcher, { first, anomalies, head: this.head }, () => this.busy.delete(watcher))
    }
  }

  /** @param lastEventId the client's latest; '' for a new client */
  watch (watcher: Watcher, lastEventId: string): StreamStart {
    this.watchers.add(watcher)
    const { run, head } = this
    const now = { run, head, after: head, first: head + 1, anomalies: [] }
    if (lastEventId === '') return { ...now, known: true }
    const [, knownRun, digits] = /^(.*)-(\d{1,15})$/.exec(lastEventId) ?? []
    const last = Number(digits)
    if (knownRun !== run || last > head) return { ...now, known: false }
    return { run, head, after: last, known: true, ...this.since(last) }
  }

  unwatch (watcher: Watcher): void {
    this.watchers.delete(watcher)
    this.busy.delete(watcher)
  }

  /** The longest gapless run after `last` that ends with the latest anomaly kept. */
  private since (last: number): { first: number, anomalies: string[] } {
    let from = this.kept.length
    while (from > 0 && (this.kept[from - 1] as Kept).number > last) {
      const next = this.kept[from]
      if (next !== undefined && next.number !== (this.kept[from - 1] as Kept).number + 1) break
      from--
    }
    const found = this.kept.slice(from)
    return { first: found[0]?.number ?? last + 1, anomalies: found.map(({ anomaly }) => anomaly) }
  }
}
