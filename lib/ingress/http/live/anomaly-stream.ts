/**
 * GET /anomalies/stream: anomalies as they are found, as Server-Sent Events.
 *
 *   event: anomaly   id: <run>-<number>   data: the anomaly
 *   event: missed    id: <run>-<number>   data: {"count": n}, n null if unknown
 *
 * The primary numbers the anomalies of the host. A client that is sent number n and then number m has missed those in
 * between, and is told so before m. No more bookkeeping is needed: slow readers are skipped, never waited for. A client
 * that reconnects with Last-Event-ID gets whatever the primary still has from there on.
 */
import { EventStreams, NOTHING_NEW } from './event-streams.js'
import type { RouteCall } from '../api/reply.js'
import type { TokenCheck } from '../api/tokens.js'

/** Consecutive anomalies, and the number of the newest one found, whether included or not. */
export interface AnomalyEvents {
  /** Number of the first; the others follow. */
  readonly first: number
  /** As JSON. */
  readonly anomalies: readonly string[]
  readonly head: number
}

/** The start of a stream. */
export interface StreamStart extends AnomalyEvents {
  /** Id of this run of the primary; each run numbers from 1. */
  readonly run: string
  /** The last number the client already knows of. */
  readonly after: number
  /** False: what was missed since Last-Event-ID is unknown. */
  readonly known: boolean
}

/** The connection to the primary. */
export interface AnomalySource {
  /**
   * From then on, add() is called with every event after the start. Null: the primary did not answer.
   * @param lastEventId '' if absent
   */
  watch (lastEventId: string): Promise<StreamStart | null>
  /** Nobody follows any more. */
  unwatch (): void
}

/** What one client has been sent. */
export class AnomalyCursor {
  /** The last number sent or reported as missed. */
  private seen: number
  /** False: something was missed before, nobody knows how much, and the client has not been told. */
  private isKnown: boolean
  private readonly run: string

  /** @param write false: dropped, as the client reads too slowly */
  constructor (start: StreamStart, private readonly write: (text: string) => boolean) {
    this.run = start.run
    this.seen = start.after
    this.isKnown = start.known
    this.catchUp(start.after)
    this.send(start)
  }

  /** Skipped if the client reads too slowly; it is told later how many it missed. */
  send ({ first, anomalies }: AnomalyEvents): void {
    if (anomalies.length === 0) return
    const last = first + anomalies.length - 1
    const events = anomalies.map((anomaly, index) => this.event(first + index, 'anomaly', anomaly)).join('')
    if (this.write(this.missed(first - 1) + events)) this.told(last)
  }

  /** Reports what was missed, if no anomaly follows to do so. False: nothing was. */
  catchUp (head: number): boolean {
    const text = this.missed(head)
    if (text !== '' && this.write(text)) this.told(head)
    return text !== ''
  }

  private told (last: number): void {
    this.seen = last
    this.isKnown = true
  }

  private missed (until: number): string {
    if (!this.isKnown) return this.event(until, 'missed', '{"count":null}')
    const count = until - this.seen
    return count > 0 ? this.event(until, 'missed', `{"count":${count}}`) : ''
  }

  private event (number: number, name: 'anomaly' | 'missed', data: string): string {
    return `id: ${this.run}-${number}\nevent: ${name}\ndata: ${data}\n\n`
  }
}

/** The anomalies of the host, as they reach this worker, for all its clients of any stream. */
export class LiveAnomalies {
  private readonly cursors = new Set<AnomalyCursor>()
  /** Calls of follow() that the primary has not answered. */
  private starting = 0
  private head = 0

  constructor (private readonly source: AnomalySource) {}

  /** @param onStart join()s, or does not follow after all; null: the primary did not answer */
  follow (lastEventId: string, onStart: (start: StreamStart | null) => void): void {
    this.starting++
    void this.source.watch(lastEventId).then((start) => {
      this.starting--
      this.head = Math.max(this.head, start?.head ?? 0)
      onStart(start)
      this.unwatchIfUnused()
    })
  }

  join (start: StreamStart, write: (text: string) => boolean): AnomalyCursor {
    const cursor = new AnomalyCursor(start, write)
    this.cursors.add(cursor)
    return cursor
  }

  leave (cursor: AnomalyCursor): void {
    this.cursors.delete(cursor)
    this.unwatchIfUnused()
  }

  /** Events from the primary. */
  add (events: AnomalyEvents): void {
    this.head = events.head
    for (const cursor of this.cursors) cursor.send(events)
  }

  /** As AnomalyCursor.catchUp. */
  catchUp (cursor: AnomalyCursor): boolean {
    return cursor.catchUp(this.head)
  }

  private unwatchIfUnused (): void {
    if (this.cursors.size + this.starting === 0) this.source.unwatch()
  }
}

export class AnomalyStreams {
  private readonly streams: EventStreams

  constructor (private readonly anomalies: LiveAnomalies, tokens: TokenCheck) {
    this.streams = new EventStreams(tokens)
  }

  readonly handle = (call: RouteCall): void => {
    const { anomalies } = this
    const lastEventId = call.request.header('last-event-id')
    this.streams.accept(call, (settle) => anomalies.follow(lastEventId, (start) => {
      settle(start === null
        ? 'not_ready'
        : (stream) => {
            stream.write('retry: 1000\n\n')
            const cursor = anomalies.join(start, (text) => stream.write(text))
            return {
              keepAlive: () => { if (!anomalies.catchUp(cursor)) stream.write(NOTHING_NEW) },
              closed: () => anomalies.leave(cursor)
            }
          })
    }))
  }
}
