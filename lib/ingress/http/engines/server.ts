/** What the servers of both engines share: their limits, the exchanges under way, retiring, and closing once. */
import { BODY_STALL_MS } from './engine.js'
import { BodyWatch, NO_BYTES, type BodyReader } from './body.js'
import { Lingering } from './lingering.js'
import { UnreadTotal } from './unread-total.js'
import { Roster, type Listed } from '../../../support/roster.js'
import type { TlsMaterial } from '../../../support/tls.js'
import type { AddressBound, HttpServer, ListenOptions, RefusalCode, StreamEnding } from './engine.js'

export interface OpenExchange extends Listed {
  /** Ends the stream, if this is one, because the server closes. @param only streams that end in this way */
  closeStream (only?: StreamEnding): void
}

export abstract class EngineServer<E extends OpenExchange> implements HttpServer {
  abstract readonly port: number
  /** Once retire() or close() was called, every answer closes its connection. */
  stopping = false
  readonly watch: BodyWatch
  readonly lingering: Lingering
  readonly unread: UnreadTotal
  readonly onRefused: (code: RefusalCode) => void
  protected readonly connectionsMax: number
  protected readonly byAddress: AddressBound | null
  /** Unanswered requests. */
  protected readonly open = new Roster<E>()
  private closing: Promise<void> | null = null
  private complete: BodyReader[] = []

  constructor (options: ListenOptions) {
    this.watch = new BodyWatch(options.bodyStallMs ?? BODY_STALL_MS)
    this.lingering = new Lingering(this.watch)
    this.unread = options.unread ?? new UnreadTotal()
    this.onRefused = options.onRefused ?? (() => {})
    this.connectionsMax = options.connectionsMax ?? Infinity
    this.byAddress = options.connectionsByAddress ?? null
  }

  begin (exchange: E): void {
    this.open.add(exchange)
  }

  finish (exchange: E): void {
    this.open.delete(exchange)
  }

  /**
   * Passes on a complete body in the next turn of the event loop, unless its connection is gone by then. All that are
   * complete by then are decoded together: across a system call the processor's caches forget the code (decision 9).
   * @param last a chunk that was not taken yet
   */
  passOn (reader: BodyReader, last: Buffer = NO_BYTES): void {
    reader.last = last
    if (this.complete.length === 0) setImmediate(() => this.passOnAll())
    this.complete.push(reader)
  }

  private passOnAll (): void {
    const { complete } = this
    this.complete = []
    for (const reader of complete) reader.take(reader.last, true)
  }

  async close (deadlineMs: number): Promise<void> {
    this.closing ??= this.stop(deadlineMs)
    await this.closing
  }

  async retire (deadlineMs: number): Promise<void> {
    this.stopping = true
    this.stopListening()
    this.closeStreams('end')
    await this.emptied(deadlineMs)
    await this.close(0)
  }

  /** A stream begins: ends it if it cannot go on. */
  beginStream (exchange: E): void {
    if (!this.stopping) return
    if (this.closing === null) exchange.closeStream('end')
    else exchange.closeStream()
  }

  abstract useTls (material: TlsMaterial): Promise<void>

  private async stop (deadlineMs: number): Promise<void> {
    this.stopping = true
    this.stopListening()
    this.closeStreams()
    this.lingering.close()
    await this.drain(deadlineMs)
    this.lingering.close()
    this.watch.close()
  }

  private closeStreams (only?: StreamEnding): void {
    for (const exchange of this.open.all()) exchange.closeStream(only)
  }

  /** Has no effect on open connections, nor the second time. */
  protected abstract stopListening (): void

  /** Resolves when no connection is left, or after deadlineMs. */
  protected abstract emptied (deadlineMs: number): Promise<void>

  /** Resolves when no connection is left, or after deadlineMs, when the rest were cut. */
  protected abstract drain (deadlineMs: number): Promise<void>
}

/** Resolves when `begin` calls back, or after deadlineMs. */
export async function within (deadlineMs: number, begin: (resolve: () => void) => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, deadlineMs)
    begin(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
