/**
 * A proxy between a page and its server that speeds up time: it records what GET /feed brings for some seconds, and
 * then repeats it with later and later times, as fast as it is told to. All other answers are the server's.
 *
 *   page ─GET /feed─▶ proxy ─GET /feed─▶ server       recording: events are passed on, and kept with their times
 *        ◀─ event, event, … ─┘                        replaying: the server's stream is closed
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { request } from 'undici'

interface Recorded {
  /** Since the first event of the stream. */
  readonly atMs: number
  readonly text: string
}

const EVENT_END = '\n\n'
const STREAM_HEAD = { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }
/** Times in milliseconds since 1970, and in ISO 8601. */
const TIMES = /\b1\d{12}\b|\b20\d\d-\d\d-\d\dT[\d:.]+Z/g

/** An event's text with all times later. */
export function shifted (text: string, byMs: number): string {
  return text.replaceAll(TIMES, (time) => time.includes('-')
    ? new Date(Date.parse(time) + byMs).toISOString()
    : String(Number(time) + byMs))
}

export class Replay {
  /** Streams that the page has asked for. */
  streams = 0
  /** Events passed on since the replay began. */
  events = 0
  private recorded: Recorded[] = []
  private stream: ServerResponse | null = null
  private readonly recording = new AbortController()
  /** How long the recording is. */
  private loopMs = 0
  private loop = 0
  private next = 0

  private constructor (private readonly origin: string, private readonly server: Server) {}

  static async start (origin: string): Promise<Replay> {
    const server = createServer()
    const replay = new Replay(origin, server)
    server.on('request', (question: IncomingMessage, response: ServerResponse) => {
      replay.answer(question, response).catch(() => response.destroy())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return replay
  }

  get url (): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  /** Ends the recording; events come from advance() from now on. */
  begin (): void {
    this.recording.abort()
    // The first events say how things are, and come once; comments are no events.
    const ticks = this.recorded.filter(({ text }) => /^event: (?!hello|problems|limits)/m.test(text))
    if (ticks.length < 2) throw new Error('the feed brought nothing to replay')
    const firstMs = ticks[0]?.atMs ?? 0
    this.recorded = ticks.map(({ atMs, text }) => ({ atMs: atMs - firstMs, text }))
    const lastMs = this.recorded.at(-1)?.atMs ?? 0
    this.loopMs = Math.ceil(lastMs * ticks.length / (ticks.length - 1))
  }

  /** Sends what is due until `simulatedMs` after begin(). */
  advance (simulatedMs: number): void {
    for (;;) {
      const { atMs, text } = this.recorded[this.next] as Recorded
      const baseMs = this.loop * this.loopMs
      if (baseMs + atMs > simulatedMs) return
      // Recorded once, so the first repetition is one recording later.
      this.stream?.write(shifted(text, baseMs + this.loopMs))
      this.events++
      this.next = (this.next + 1) % this.recorded.length
      if (this.next === 0) this.loop++
    }
  }

  close (): void {
    this.recording.abort()
    this.server.closeAllConnections()
    this.server.close()
  }

  private async answer (question: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '', headers: { accept = '*/*' } } = question
    if (url.startsWith('/feed')) {
      await this.feed(url, response)
      return
    }
    const { statusCode, headers, body } = await request(`${this.origin}${url}`, { headers: { accept } })
    response.writeHead(statusCode, { 'content-type': String(headers['content-type']) })
    response.end(Buffer.from(await body.arrayBuffer()))
  }

  private async feed (url: string, response: ServerResponse): Promise<void> {
    this.streams++
    response.writeHead(200, STREAM_HEAD)
    this.stream = response
    if (this.recording.signal.aborted) return
    const { signal } = this.recording
    const { body } = await request(`${this.origin}${url}`, { signal, bodyTimeout: 0 })
    const beginMs = performance.now()
    let rest = ''
    try {
      for await (const chunk of body) {
        rest += String(chunk)
        for (let end = rest.indexOf(EVENT_END); end >= 0; end = rest.indexOf(EVENT_END)) {
          const text = rest.slice(0, end + EVENT_END.length)
          rest = rest.slice(end + EVENT_END.length)
          this.recorded.push({ atMs: performance.now() - beginMs, text })
          response.write(text)
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }
}
