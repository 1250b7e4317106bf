/** What the servers of both engines share: their limits, the exchanges under way, and closing once. */
import { BODY_STALL_MS } from './engine.js'
import { BodyWatch } from './body.js'
import { Roster, type Listed } from '../../../support/roster.js'
import type { TlsMaterial } from '../../../support/tls.js'
import type { HttpServer, ListenOptions, RefusalCode } from './engine.js'

export interface OpenExchange extends Listed {
  /** Ends the stream, if this is one, because the server closes. */
  closeStream (): void
}

export abstract class EngineServer<E extends OpenExchange> implements HttpServer {
  abstract readonly port: number
  /** Once close() was called, every answer closes its connection. */
  stopping = false
  readonly watch: BodyWatch
  readonly onRefused: (code: RefusalCode) => void
  protected readonly connectionsMax: number
  /** Unanswered requests. */
  protected readonly open = new Roster<E>()
  private closing: Promise<void> | null = null

  constructor (options: ListenOptions) {
    this.watch = new BodyWatch(options.bodyStallMs ?? BODY_STALL_MS)
    this.onRefused = options.onRefused ?? (() => {})
    this.connectionsMax = options.connectionsMax ?? Infinity
  }

  begin (exchange: E): void {
    this.open.add(exchange)
  }

  finish (exchange: E): void {
    this.open.delete(exchange)
  }

  async close (deadlineMs: number): Promise<void> {
    this.closing ??= this.stop(deadlineMs)
    await this.closing
  }

  abstract useTls (material: TlsMaterial): Promise<void>

  private async stop (deadlineMs: number): Promise<void> {
    this.stopping = true
    this.stopListening()
    for (const exchange of this.open.all()) exchange.closeStream()
    await this.drain(deadlineMs)
    this.watch.close()
  }

  protected abstract stopListening (): void

  /** Resolves when no connection is left, or after deadlineMs, when the rest were cut. */
  protected abstract drain (deadlineMs: number): Promise<void>
}
