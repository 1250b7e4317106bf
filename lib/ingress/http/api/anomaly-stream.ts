/**
 * GET /anomalies/stream: anomalies as they are found, as Server-Sent Events.
 *
 *   event: anomaly   id: <run>-<number>   data: the anomaly
 *   event: missed    id: <run>-<number>   data: {"count": n}, or null where nobody knows how many
 *
 * Anomalies of the host are numbered by the primary; a client that is sent number n and then number m has missed all
 * between, and is told so before m. That is the whole of the bookkeeping: a reader that is too slow is skipped, never
 * waited for. A client that comes back with Last-Event-ID gets what the primary still has from there on.
 */
import { replyError } from './reply.js'
import type { HttpExchange, HttpRequest, HttpStream } from '../engines/engine.js'
import type { RouteCounters } from './counters.js'

/** Consecutive anomalies, and the number of the last one that was found, be it among them or left out. */
export interface AnomalyEvents {
  /** Number of the first; the others follow. */
  readonly first: number
  /** As JSON. */
  readonly anomalies: readonly string[]
  readonly head: number
}

/** Where a stream begins. */
export interface StreamStart extends AnomalyEvents {
  /** Name of this run of the primary, which counts from 1 anew. */
  readonly run: string
  /** The last number that the client needs no word of. */
  readonly after: number
  /** False: it is not known what was missed since Last-Event-ID. */
  readonly known: boolean
}

/** The way to the primary. */
export interface AnomalySource {
  /** After this, add() is called with every event behind the start. Null: the primary did not answer. @param lastEventId '' if there is none */
  watch (lastEventId: string): Promise<StreamStart | null>
  /** Nobody listens any more. */
  unwatch (): void
}

/** Below the ten seconds after which servers and proxies take a silent connection for dead. */
const KEEP_ALIVE_MS = 5_000
/** Streams of one worker. */
const CLIENTS_MAX = 200

class Client {
  /** The last number that it was sent or told to have missed. Null: its start is still asked for. */
  private seen: number | null = null
  private run = ''

  constructor (private readonly stream: HttpStream) {}

  begin (start: StreamStart): void {
    this.run = start.run
    this.stream.write('retry: 1000\n\n')
    if (!start.known) this.stream.write(`id: ${this.run}-${start.after}\nevent: missed\ndata: {"count":null}\n\n`)
    this.seen = start.after
    this.send(start)
  }

  /** Not taken where the client reads too slowly: then it is told later how many these were. */
  send ({ first, anomalies }: AnomalyEvents): void {
    if (this.seen === null || anomalies.length === 0) return
    const last = first + anomalies.length - 1
    const events = anomalies.map((anomaly, index) => `id: ${this.run}-${first + index}\nevent: anomaly\ndata: ${anomaly}\n\n`).join('')
    if (this.stream.write(this.missed(first - 1) + events)) this.seen = last
  }

  /** Something at least every five seconds; the end of a gap if nothing follows it. */
  keepAlive (head: number): void {
    if (this.seen === null) return
    if (this.stream.write(this.missed(head) || ': nothing new\n\n')) this.seen = Math.max(this.seen, head)
  }

  end (): void {
    this.stream.end()
  }

  private missed (until: number): string {
    const count = until - (this.seen ?? until)
    return count > 0 ? `id: ${this.run}-${until}\nevent: missed\ndata: {"count":${count}}\n\n` : ''
  }
}

export class AnomalyStreams {
  private readonly clients = new Set<Client>()
  private timer: NodeJS.Timeout | null = null
  private head = 0

  constructor (private readonly source: AnomalySource) {}

  readonly handle = (request: HttpRequest, exchange: HttpExchange, counters: RouteCounters): void => {
    if (this.clients.size >= CLIENTS_MAX) {
      replyError(exchange, counters, 'too_busy', { message: `This worker serves ${CLIENTS_MAX} streams already.` })
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
    // A server that is closing ends a stream as it begins.
    if (opened.isClosed) return
    const client = new Client(stream)
    opened.client = client
    this.clients.add(client)
    this.timer ??= setInterval(() => {
      for (const each of this.clients) each.keepAlive(this.head)
    }, KEEP_ALIVE_MS)
    void this.source.watch(lastEventId).then((start) => this.begin(client, start))
  }

  /** What the primary sends to all who watch. */
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
