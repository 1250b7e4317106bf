/**
 * Lets the pages of allowed origins read answers and send what they may (the CORS protocol of the Fetch standard).
 * Browsers ask beforehand with OPTIONS. Credentials of the browser are never involved: tokens are sent by the page.
 */
import type { BodyFailure, Headers, HttpExchange, HttpStream, StreamEnding } from '../engines/engine.js'

/** Headers of ours that a page could not send or read otherwise. */
const SENT = 'authorization, content-encoding, content-type, if-match, if-none-match, last-event-id, x-changed-by'
const READ = 'allow, content-disposition, etag, retry-after'
const PREFLIGHT_SECONDS = '600'

/** What an answer to OPTIONS adds. @param methods those of the path */
export function preflightHeaders (methods: string): Headers {
  return [
    ['access-control-allow-methods', methods],
    ['access-control-allow-headers', SENT],
    ['access-control-max-age', PREFLIGHT_SECONDS]
  ]
}

export class CorsExchange implements HttpExchange {
  private readonly headers: Headers

  constructor (private readonly exchange: HttpExchange, origin: string) {
    this.headers = [
      ['access-control-allow-origin', origin], ['access-control-expose-headers', READ], ['vary', 'origin']
    ]
  }

  get aborted (): boolean {
    return this.exchange.aborted
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    this.exchange.readBody(bytesMax, onBody, onFailure)
  }

  reply (status: number, headers: Headers, body: string | Buffer): boolean {
    return this.exchange.reply(status, [...headers, ...this.headers], body)
  }

  stream (status: number, headers: Headers, onClose: () => void, whenClosing?: StreamEnding): HttpStream {
    return this.exchange.stream(status, [...headers, ...this.headers], onClose, whenClosing)
  }
}
