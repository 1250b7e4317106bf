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
import type { HttpStream } from '../engines/engine.js'
import type { RouteCall } from './reply.js'

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
  /** The last client has gone. */
  unwatch (): void
}

/** Less than the ten seconds after which servers and proxies consider a silent connection dead. */
const KEEP_ALIVE_MS = 5_000
/** Per worker. */
const CLIENTS_MAX = 200

class Client {
  /** The last number sent or reported as missed. Null: the primary has not answered yet. */
  private seen: number | null = null
  private run = ''

  constructor (private readonly stream: HttpStream) {}

  begin (start: StreamStart): void {
    this.run = start.run
    this.stream.write('retry: 1000\n\n')
    if (!start.known) this.stream.write(this.event(start.after, 'missed', '{"count":null}'))
    this.seen = start.after
    this.send(start)
  }

  /** Skipped if the client reads too slowly; it is told later how many it missed. */
  send ({ first, anomalies }: AnomalyEvents): void {
    if (this.seen === null || anomalies.length === 0) return
    const last = first + anomalies.length - 1
    const events = anomalies.map((anomaly, index) => this.event(first + index, 'anomaly', anomaly)).join('')
    if (this.stream.write(this.missed(first - 1) + events)) this.seen = last
  }

  /** Sends what was missed if no anomaly follows to do so, otherwise a comment. */
  keepAlive (head: number): void {
    if (this.seen === null) return
    if (this.stream.write(this.missed(head) || ': nothing new\n\n')) this.seen = Math.max(this.seen, head)
  }

  end (): void {
    this.stream.end()
  }

  private missed (until: number): string {
    const count = until - (this.seen ?? until)
    return count > 0 ? this.event(until, 'missed', `{"count":${count}}`) : ''
  }

  private event (number: number, name: 'anomaly' | 'missed', data: string): string {
    return `id: ${this.run}-${number}\nevent: ${name}\ndata: ${data}\n\n`
  }
}

export class AnomalyStreams {
  private readonly clients = new Set<Client>()
  private timer: NodeJS.Timeout | null = null
  private head = 0

  constructor (private readonly source: AnomalySource) {}

  readonly handle = (call: RouteCall): void => {
    const { request, exchange, counters } = call
    if (this.clients.size >= CLIENTS_MAX) {
      call.fail('too_busy', { message: `This worker already serves ${CLIENTS_MAX} streams.` })
      return
    }
    const lastEventId = request.header('last-event-id')
    const headers = [['content-type', 'text/event-stream'], ['cache-control', 'no-store']] as const
    counters.ok++
    if (request.method === 'HEAD') {
      exchange.reply(200, headers, '')
      return
    }
    const opened: { client: Client | null, isClosed: boolean } = { client: null, isClosed: false }
    const stream = exchange.stream(200, headers, () => {
      opened.isClosed = true
      if (opened.client !== null) this.drop(opened.client)
    })
    // A closing server ends a stream as it begins.
    if (opened.isClosed) return
    const client = new Client(stream)
    opened.client = client
    this.clients.add(client)
    this.timer ??= setInterval(() => {
      for (const each of this.clients) each.keepAlive(this.head)
    }, KEEP_ALIVE_MS)
    void this.source.watch(lastEventId).then((start) => this.begin(client, start))
  }

  /** Events from the primary, for all clients. */
  add (events: AnomalyEvents): void {
    this.head = events.head
    for (const client of this.clients) client.send(events)
  }

  private begin (client: Client, start: StreamStart | null): void {
    if (start === null) {
      client.end()
      this.drop(client)
      return
    }
    this.head = Math.max(this.head, start.head)
    client.begin(start)
  }

  private drop (client: Client): void {
    this.clients.delete(client)
    if (this.clients.size > 0) return
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
    this.source.unwatch()
  }
}
