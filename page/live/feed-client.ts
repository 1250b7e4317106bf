/**
 * GET /feed for what the page shows. Another view is another request; the old one goes on until the new one has begun,
 * so that nothing falls between. A tab that nobody sees does not read: browsers open few connections per server.
 */
import { EventStream } from '../net/event-stream.js'
import type { Http } from '../net/http.js'

export interface FeedView {
  readonly parts: ReadonlyArray<'fleet' | 'satellites' | 'anomalies'>
  readonly satellite: string | null
}

export interface FeedListener {
  /** @param data parsed JSON */
  onEvent (event: string, data: unknown): void
  onLost (why: string): void
}

/** With fleet numbers, an event comes every 250 ms; without, at least a comment every 5 s. */
const SILENCE_FLEET_MS = 5_000
const SILENCE_MS = 12_000
const HIDDEN_MS = 30_000

export class Feed {
  private view: FeedView | null = null
  private current: EventStream | null = null
  private next: EventStream | null = null
  private hiddenTimer: ReturnType<typeof setTimeout> | undefined

  constructor (private readonly http: Http, private readonly listener: FeedListener) {
    document.addEventListener('visibilitychange', () => this.visibilityChanged())
  }

  show (view: FeedView): void {
    if (JSON.stringify(view) === JSON.stringify(this.view)) return
    this.view = view
    this.open()
  }

  private open (): void {
    if (this.view === null) return
    this.next?.close()
    const { parts } = this.view
    const silenceMs = parts.includes('fleet') ? SILENCE_FLEET_MS : SILENCE_MS
    const stream = new EventStream(this.http, pathOf(this.view), silenceMs, {
      onEvent: ({ event, data }) => {
        if (event === 'hello') this.replaceBy(stream)
        if (stream === this.current) this.listener.onEvent(event, JSON.parse(data))
      },
      onLost: (why) => {
        // What the old stream shows is not this view.
        if (stream === this.next) {
          this.current?.close()
          this.current = null
        }
        if (stream === this.current || this.current === null) this.listener.onLost(why)
      }
    })
    this.next = stream
  }

  private replaceBy (stream: EventStream): void {
    if (stream === this.current) return
    this.current?.close()
    this.current = stream
    this.next = null
  }

  private visibilityChanged (): void {
    clearTimeout(this.hiddenTimer)
    if (document.visibilityState === 'hidden') this.hiddenTimer = setTimeout(() => this.close(), HIDDEN_MS)
    else if (this.current === null && this.next === null) this.open()
  }

  private close (): void {
    this.current?.close()
    this.next?.close()
    this.current = null
    this.next = null
  }
}

function pathOf ({ parts, satellite }: FeedView): string {
  const query = new URLSearchParams()
  if (parts.length > 0) query.set('parts', parts.join(','))
  if (satellite !== null) query.set('satellite', satellite)
  return `/feed?${query.toString()}`
}
