/**
 * Answers in msgpack for clients that ask for it with `Accept: application/msgpack`.
 *
 * The routes produce JSON only. For these clients the exchange is wrapped, and JSON bodies are converted to msgpack
 * maps with the same fields. Other bodies are left unchanged.
 */
import { Packr } from 'msgpackr'
import { OncePerTurn } from '../../../support/once-per-turn.js'
import { qualityOf } from '../engines/header-quality.js'
import { SMALL_ANSWER_BYTES } from '../engines/unread-total.js'
import { MSGPACK_TYPES } from './formats.js'
import type { BodyFailure, Headers, HttpExchange, HttpStream, StreamEnding } from '../engines/engine.js'

const JSON_TYPE = 'application/json'
const [MSGPACK_TYPE = ''] = MSGPACK_TYPES
const packr = new Packr({ useRecords: false })

function pack (json: string): Buffer {
  return packr.pack(JSON.parse(json))
}

/** An answer to a query takes some ten milliseconds. */
const large = new OncePerTurn(pack)

/** Whether the client prefers msgpack to JSON. @param accept the header, '' if absent */
export function acceptsMsgpack (accept: string): boolean {
  // Hardly anybody asks for it, and most senders say nothing.
  if (accept === '' || !/msgpack/i.test(accept)) return false
  const [msgpack, json] = [qualityOf(accept, MSGPACK_TYPES), qualityOf(accept, [JSON_TYPE])]
  return msgpack > 0 && msgpack >= json
}

export class MsgpackExchange implements HttpExchange {
  constructor (private readonly exchange: HttpExchange) {}

  get aborted (): boolean {
    return this.exchange.aborted
  }

  readBody (bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: BodyFailure) => void): void {
    this.exchange.readBody(bytesMax, onBody, onFailure)
  }

  reply (status: number, headers: Headers, body: string | Buffer): boolean {
    const isJson = headers.some(([name, value]) => name === 'content-type' && value.startsWith(JSON_TYPE))
    if (!isJson || typeof body !== 'string') return this.exchange.reply(status, headers, body)
    const others = headers.filter(([name]) => name !== 'content-type')
    const packed = body.length > SMALL_ANSWER_BYTES ? large.of(body) : pack(body)
    return this.exchange.reply(status, [['content-type', MSGPACK_TYPE], ...others], packed)
  }

  stream (status: number, headers: Headers, onClose: () => void, whenClosing?: StreamEnding): HttpStream {
    return this.exchange.stream(status, headers, onClose, whenClosing)
  }
}
