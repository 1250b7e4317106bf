/**
 * How a body may be written: content types → decoder, for each kind of route; and its Content-Encoding.
 * A further format is one more entry in a table.
 */
import { gunzip } from 'node:zlib'
import type { DecodeFault } from '../../../../protocol/faults.js'
import type { DecodeRules } from '../../../../protocol/point.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { SatelliteTable } from '../../../../protocol/satellites.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../../../protocol/json/json.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../../protocol/packet/packet-body.js'

/** Fills `columns` from a body, or says why not. Times absent are `nowMicros`. */
export type Decode = (
  body: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
) => DecodeFault | null

export interface BodyFormat {
  /** As in Content-Type, lower case, without parameters. The first one is named to people. */
  readonly types: readonly string[]
  readonly decode: Decode
}

/** '' is no Content-Type at all, and the form type is what curl sends with -d: both mean JSON. */
const JSON_TYPES = ['application/json', '', 'application/x-www-form-urlencoded']
const NDJSON_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl']

export const MSGPACK_TYPES: readonly string[] = ['application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack']

/** Bodies that hold one point. */
export const POINT_FORMATS: readonly BodyFormat[] = [
  { types: JSON_TYPES, decode: decodeJsonPoint },
  { types: MSGPACK_TYPES, decode: decodeMsgpackPoint }
]

/** Bodies that hold any number of points. */
export const BATCH_FORMATS: readonly BodyFormat[] = [
  { types: JSON_TYPES, decode: decodeJsonBatch },
  { types: NDJSON_TYPES, decode: decodeNdjson },
  { types: MSGPACK_TYPES, decode: decodeMsgpackBatch }
]

export class FormatTable {
  private readonly decoders = new Map<string, Decode>()
  /** For the answer to a type that is not here. */
  readonly names: string

  constructor (formats: readonly BodyFormat[]) {
    for (const { types, decode } of formats) {
      for (const type of types) this.decoders.set(type, decode)
    }
    this.names = formats.map(({ types }) => types[0]).join(', ')
  }

  /** @param contentType the header, '' if absent. Null: not understood. */
  find (contentType: string): Decode | null {
    return this.decoders.get(contentType) ?? this.findNormalized(contentType)
  }

  /** Any case, any spaces, and no charset but UTF-8. */
  private findNormalized (contentType: string): Decode | null {
    const [type = '', ...parameters] = contentType.toLowerCase().split(';').map((part) => part.trim())
    const charset = parameters.find((parameter) => parameter.startsWith('charset='))
    if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return null
    return this.decoders.get(type) ?? null
  }
}

/** What Content-Encoding says; null: not understood. */
export function findEncoding (contentEncoding: string): 'identity' | 'gzip' | null {
  if (contentEncoding === '') return 'identity'
  const name = contentEncoding.toLowerCase()
  if (name === 'x-gzip') return 'gzip'
  return name === 'gzip' || name === 'identity' ? name : null
}

/** Bodies unpacked at once in one worker; each may take MAX_BODY_BYTES. */
const UNPACKING_MAX = 32
let unpackingCount = 0

export type UnpackFailure = 'body_too_large' | 'invalid_encoding' | 'too_busy'

/** Unpacks a gzip body off the main thread; `body` may be reused at once. Stops at bytesMax unpacked bytes. */
export function unpack (body: Buffer, bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: UnpackFailure) => void): void {
  if (unpackingCount === UNPACKING_MAX) {
    onFailure('too_busy')
    return
  }
  unpackingCount++
  gunzip(Buffer.from(body), { maxOutputLength: bytesMax }, (error, unpacked) => {
    unpackingCount--
    if (error === null) onBody(unpacked)
    else onFailure((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'body_too_large' : 'invalid_encoding')
  })
}
