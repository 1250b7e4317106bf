/**
 * Formats of bodies: content types and their decoders, for each kind of route, and content encodings.
 * To add a format, add an entry to a table.
 */
import { gunzip } from 'node:zlib'
import { Turns } from '../../../support/turns.js'
import { LARGE_BODY_BYTES } from '../engines/body.js'
import type { DecodeFault } from '../../../../protocol/faults.js'
import type { DecodeRules } from '../../../../protocol/point.js'
import type { PointColumns } from '../../../../protocol/columns.js'
import type { SatelliteTable } from '../../../../protocol/satellites.js'
import { decodeJsonBatch, decodeJsonPoint, decodeNdjson } from '../../../../protocol/json/json.js'
import { decodeMsgpackBatch, decodeMsgpackPoint } from '../../../../protocol/packet/packet-body.js'

/** Decodes a body into `columns`, or returns a fault. Missing times are set to `nowMicros`. */
export type Decode = (
  body: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
) => DecodeFault | null

export interface BodyFormat {
  /** As in Content-Type, lower case, without parameters. Error messages name the first. */
  readonly types: readonly string[]
  readonly decode: Decode
}

/** No Content-Type ('') means JSON, and so does the form type, which curl sends with -d. */
const JSON_TYPES = ['application/json', '', 'application/x-www-form-urlencoded']
const NDJSON_TYPES = ['application/x-ndjson', 'application/ndjson', 'application/jsonl']

export const MSGPACK_TYPES: readonly string[] = [
  'application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack'
]

/** For bodies of one point. */
export const POINT_FORMATS: readonly BodyFormat[] = [
  { types: JSON_TYPES, decode: decodeJsonPoint },
  { types: MSGPACK_TYPES, decode: decodeMsgpackPoint }
]

/** For bodies of any number of points. */
export const BATCH_FORMATS: readonly BodyFormat[] = [
  { types: JSON_TYPES, decode: decodeJsonBatch },
  { types: NDJSON_TYPES, decode: decodeNdjson },
  { types: MSGPACK_TYPES, decode: decodeMsgpackBatch }
]

export class FormatTable {
  private readonly decoders = new Map<string, Decode>()
  /** For the error about any other type. */
  readonly names: string

  constructor (formats: readonly BodyFormat[]) {
    for (const { types, decode } of formats) {
      for (const type of types) this.decoders.set(type, decode)
    }
    this.names = formats.map(({ types }) => types[0]).join(', ')
  }

  /** Null: not supported. @param contentType the header, '' if absent */
  find (contentType: string): Decode | null {
    return this.decoders.get(contentType) ?? this.findNormalized(contentType)
  }

  /** Allows any case and spacing, and UTF-8 as the only charset. */
  private findNormalized (contentType: string): Decode | null {
    const [type = '', ...parameters] = contentType.toLowerCase().split(';').map((part) => part.trim())
    const charset = parameters.find((parameter) => parameter.startsWith('charset='))
    if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return null
    return this.decoders.get(type) ?? null
  }
}

/** Null: not supported. */
export function findEncoding (contentEncoding: string): 'identity' | 'gzip' | null {
  if (contentEncoding === '') return 'identity'
  const name = contentEncoding.toLowerCase()
  if (name === 'x-gzip') return 'gzip'
  return name === 'gzip' || name === 'identity' ? name : null
}

/** Bodies decompressed concurrently in one worker, and their total size once decompressed; one is always allowed. */
const UNPACKING_MAX = 32
const UNPACKING_BYTES_MAX = 256 * 1024 * 1024
const unpacking = { bodies: 0, bytes: 0 }
/** Those that are large are passed on in turn, see body.ts. */
const turns = new Turns()
/**
 * A body is decompressed piece by piece. Each piece is a round trip to another thread, and joining pieces allocates the
 * body once more; V8 collects garbage after every 16 MB or so of that, which costs more than to decompress as much. So
 * the first piece is as large as the body says it is, and a byte more, since a full piece is followed by another.
 */
const PIECE_BYTES = { min: 16 * 1024, max: 256 * 1024 } as const
/** For a body that understates its size. */
const TYPICAL_RATIO = 16
/** A byte of deflate cannot become more, whatever a body claims. */
const RATIO_MAX = 1_032
/** At the end of gzip: the size of its last member modulo 2^32 (RFC 1952, ISIZE). */
const SIZE_BYTES = 4

function pieceBytes (packed: Buffer, bytesMax: number): number {
  const { length } = packed
  const said = length < SIZE_BYTES ? 0 : packed.readUInt32LE(length - SIZE_BYTES)
  const least = Math.min(Math.max(PIECE_BYTES.min, length * TYPICAL_RATIO), PIECE_BYTES.max)
  return Math.max(least, Math.min(said, length * RATIO_MAX, bytesMax) + 1)
}

export type UnpackFailure = 'body_too_large' | 'invalid_encoding' | 'too_busy'

/** Decompresses a gzip body off the main thread, up to bytesMax. `body` may be reused at once. */
export function unpack (
  body: Buffer, bytesMax: number, onBody: (body: Buffer) => void, onFailure: (failure: UnpackFailure) => void
): void {
  const most = Math.min(body.length * RATIO_MAX, bytesMax)
  const isTooMuch = unpacking.bodies > 0 && unpacking.bytes + most > UNPACKING_BYTES_MAX
  if (unpacking.bodies === UNPACKING_MAX || isTooMuch) {
    onFailure('too_busy')
    return
  }
  unpacking.bodies++
  unpacking.bytes += most
  const done = (): void => {
    unpacking.bodies--
    unpacking.bytes -= most
  }
  const passOn = (unpacked: Buffer): void => {
    done()
    onBody(unpacked)
  }
  gunzip(Buffer.from(body), { maxOutputLength: bytesMax, chunkSize: pieceBytes(body, bytesMax) }, (error, unpacked) => {
    if (error !== null) {
      done()
      onFailure(isTooLarge(error) ? 'body_too_large' : 'invalid_encoding')
    } else if (unpacked.length > LARGE_BODY_BYTES) {
      turns.add(() => passOn(unpacked))
    } else {
      passOn(unpacked)
    }
  })
}

function isTooLarge (error: NodeJS.ErrnoException): boolean {
  return error.code === 'ERR_BUFFER_TOO_LARGE'
}
