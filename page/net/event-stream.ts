/**
 * A stream of Server-Sent Events that reconnects for as long as it is wanted. Read with fetch rather than EventSource,
 * which cannot send a token.
 *
 *   opening ──▶ open ──▶ lost ──▶ opening …      until close()
 *
 * A stream that is silent for too long counts as lost.
 */
import { EventParser, type ServerEvent } from '../model/sse.js'
import { pause } from './pause.js'
import { readFailure, type Http } from './http.js'

export interface StreamListener {
  onEvent (event: ServerEvent): void
  /** @param why for people */
  onLost (why: string): void
}

const SILENCE_CHECK_MS = 1_000
const FIRST_RETRY_MS = 250
const RETRY_MAX_MS = 5_000

export class EventStream {
  private readonly ended = new AbortController()
  private lastId = ''
  private retryMs = FIRST_RETRY_MS

  constructor (
    private readonly http: Http,
    private readonly path: string,
    /** Longest silence of a live connection. */
    private readonly silenceMs: number,
    private readonly listener: StreamListener
  ) {
    void this.run()
  }

  close (): void {
    this.ended.abort()
  }

  private isClosed (): boolean {
    return this.ended.signal.aborted
  }

  private async run (): Promise<void> {
    const { signal } = this.ended
    while (!this.isClosed()) {
      const why = await this.readOnce()
      if (this.isClosed()) return
      this.listener.onLost(why)
      // A spread, so that all the pages of a server that restarts do not come back at once.
      await pause(this.retryMs * (0.5 + Math.random()), signal)
      this.retryMs = Math.min(this.retryMs * 2, RETRY_MAX_MS)
    }
  }

  /** Reads one connection to its end; says why it ended. */
  private async readOnce (): Promise<string> {
    const silence = new AbortController()
    let heardMs = performance.now()
    const timer = setInterval(() => {
      // A user who looks for a token takes their time.
      if (this.http.token.question !== null) heardMs = performance.now()
      else if (performance.now() - heardMs > this.silenceMs) silence.abort()
    }, SILENCE_CHECK_MS)
    try {
      const signal = AbortSignal.any([this.ended.signal, silence.signal])
      const resume: Record<string, string> = this.lastId === '' ? {} : { 'last-event-id': this.lastId }
      const response = await this.http.open(this.path, 'text/event-stream', signal, resume)
      if (!response.ok || response.body === null) return (await readFailure(response)).message.replace(/\.$/, '')
      this.retryMs = FIRST_RETRY_MS
      const parser = new EventParser()
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return 'the server closed the connection'
        heardMs = performance.now()
        for (const event of parser.add(value)) {
          if (event.id !== '') this.lastId = event.id
          this.listener.onEvent(event)
        }
      }
    } catch {
      return silence.signal.aborted ? 'the server has gone silent' : 'the server does not answer'
    } finally {
      clearInterval(timer)
    }
  }
}
