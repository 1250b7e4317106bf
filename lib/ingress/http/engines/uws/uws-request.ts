/**
 * The head of a request on uWebSockets.js, read in one pass over its headers, because a lookup by name returns only the
 * first of several. Headers that determine where the request ends must be unique and unambiguous.
 */
import type { HttpRequest as UwsHead, HttpResponse } from 'uWebSockets.js'
import type { HttpRequest, RefusalCode } from '../engine.js'

/** Longer numbers may not be exact in JavaScript; uWebSockets.js itself accepts up to 18 digits. */
const LENGTH_DIGITS_MAX = 15

export class UwsRequest implements HttpRequest {
  readonly method: string
  readonly path: string
  readonly query: string
  /** Why it must not be served, if so. */
  fault: RefusalCode | null = null
  /** The last request on its connection, by the client's wish. */
  isLast = false
  private accept = ''
  private authorization = ''
  private contentEncoding = ''
  private contentType = ''
  private origin = ''
  private forwardedFor = ''
  private host: string | null = null
  private contentLength: string | null = null
  private transferEncoding: string | null = null

  constructor (private readonly head: UwsHead, private readonly res: HttpResponse) {
    this.method = head.getCaseSensitiveMethod()
    this.path = head.getUrl()
    // Typed as a string, but undefined if there is no '?'.
    this.query = head.getQuery() || ''
  }

  get isChunked (): boolean {
    return this.transferEncoding !== null
  }

  /** Bytes of its body, as stated; 0: not stated. */
  get length (): number {
    return Number(this.contentLength ?? 0)
  }

  address (): string {
    return Buffer.from(this.res.getRemoteAddressAsText()).toString('latin1')
  }

  header (name: string): string {
    switch (name) {
      case 'accept': return this.accept
      case 'authorization': return this.authorization
      case 'content-encoding': return this.contentEncoding
      case 'content-length': return this.contentLength ?? ''
      case 'content-type': return this.contentType
      case 'host': return this.host ?? ''
      case 'origin': return this.origin
      case 'transfer-encoding': return this.transferEncoding ?? ''
      case 'x-forwarded-for': return this.forwardedFor
      default: return this.head.getHeader(name)
    }
  }

  /** Called for every header. Looks at the length first, since most are irrelevant. @param name lower case */
  addHeader (name: string, value: string): void {
    switch (name.length) {
      case 4:
        if (name === 'host') this.addHost(value)
        break
      case 6:
        if (name === 'accept') this.accept ||= value
        else if (name === 'origin') this.origin ||= value
        else if (name === 'expect' && value.toLowerCase() !== '100-continue') this.fault ??= 'expectation_failed'
        break
      case 10:
        if (name === 'connection' && value.toLowerCase() === 'close') this.isLast = true
        break
      case 12:
        if (name === 'content-type') this.contentType ||= value
        break
      case 13:
        if (name === 'authorization') this.authorization ||= value
        break
      case 14:
        if (name === 'content-length') this.addContentLength(value)
        break
      case 15:
        // Proxies may add a line of their own to those of the client.
        if (name === 'x-forwarded-for') this.forwardedFor += this.forwardedFor === '' ? value : `, ${value}`
        break
      case 16:
        if (name === 'content-encoding') this.contentEncoding ||= value
        break
      case 17:
        if (name === 'transfer-encoding') this.addTransferEncoding(value)
    }
  }

  private addHost (value: string): void {
    if (this.host !== null) this.fault = 'malformed_request'
    this.host = value
  }

  private addContentLength (value: string): void {
    if (this.contentLength !== null || !isDigits(value)) this.fault = 'malformed_request'
    else if (this.transferEncoding !== null) this.fault ??= 'unsupported_transfer_encoding'
    else if (value.length > LENGTH_DIGITS_MAX) this.fault ??= 'body_too_large'
    this.contentLength = value
  }

  private addTransferEncoding (value: string): void {
    const isOnlyFraming = this.contentLength === null && this.transferEncoding === null
    if (!isOnlyFraming || value.toLowerCase() !== 'chunked') this.fault ??= 'unsupported_transfer_encoding'
    this.transferEncoding = value
  }
}

/** At least one digit, and nothing else. */
function isDigits (text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code < 48 || code > 57) return false
  }
  return text !== ''
}
