/** The head of a request of node:http. */
import type { IncomingMessage } from 'node:http'
import type { HttpRequest, RefusalCode } from '../engine.js'

/** The part of an absolute-form target before its path. */
const ORIGIN_OF_TARGET = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i

export class NodeRequest implements HttpRequest {
  readonly path: string
  readonly query: string
  /** Host of an absolute-form target, which overrides the header (RFC 9112, 3.2.2); null for any other target. */
  private readonly authority: string | null

  constructor (private readonly req: IncomingMessage) {
    let url = req.url ?? ''
    const origin = url.startsWith('/') ? null : ORIGIN_OF_TARGET.exec(url)
    this.authority = origin?.[1] ?? null
    if (origin !== null) url = url.slice(origin[0].length)
    if (origin !== null && !url.startsWith('/')) url = `/${url}`
    const mark = url.indexOf('?')
    this.path = mark < 0 ? url : url.slice(0, mark)
    this.query = mark < 0 ? '' : url.slice(mark + 1)
  }

  get method (): string {
    return this.req.method ?? ''
  }

  address (): string {
    return this.req.socket.remoteAddress ?? ''
  }

  header (name: string): string {
    if (this.authority !== null && name === 'host') return this.authority
    const value = this.req.headers[name]
    return typeof value === 'string' ? value : value?.join(', ') ?? ''
  }
}

/** Refuses what the parser lets through: transfer codings besides chunked, and a missing or repeated Host. */
export function refusedByFraming (req: IncomingMessage): RefusalCode | null {
  const coding = req.headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'unsupported_transfer_encoding'
  let hosts = 0
  const { rawHeaders } = req
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++
  }
  return hosts === 1 || (hosts === 0 && req.httpVersion === '1.0') ? null : 'malformed_request'
}
