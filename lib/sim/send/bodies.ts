/** Bodies of HTTP requests: points are encoded straight into one buffer, in the chosen format. */
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { PointText } from '../fleet/point-text.js'

const OPENING_BRACKET = 91
const CLOSING_BRACKET = 93
const COMMA = 44
/** Upper bound for a point in a frame with the fleet's ids. */
const FRAME_POINT_BYTES_MAX = 128
const FRAME_HEAD_BYTES_MAX = 512

export type BodyFormat = 'json' | 'msgpack'

export interface Body {
  readonly contentType: string
  /** Points since the last take(). */
  readonly points: number
  /** Adds a point; at most batchSize before the next take(). */
  add (satellite: number, timeMs: number, values: Float64Array): void
  /** Returns a copy of the points added, and starts over. */
  take (): Buffer
}

/** @param batchSize 1: one point per body; more: batches of at most this many */
export function createBody (format: BodyFormat, ids: readonly string[], batchSize: number): Body {
  return format === 'json' ? new JsonBody(ids, batchSize) : new MsgpackBody(ids, batchSize)
}

class JsonBody implements Body {
  readonly contentType = 'application/json'
  points = 0
  private readonly text: PointText
  private readonly bytes: Buffer
  private end = 0

  constructor (ids: readonly string[], private readonly batchSize: number) {
    this.text = new PointText(ids)
    this.bytes = Buffer.allocUnsafeSlow(batchSize * (this.text.pointBytesMax + 1) + 1)
  }

  add (satellite: number, timeMs: number, values: Float64Array): void {
    if (this.batchSize > 1) this.bytes[this.end++] = this.points === 0 ? OPENING_BRACKET : COMMA
    this.end = this.text.write(this.bytes, this.end, satellite, timeMs, values)
    this.points++
  }

  take (): Buffer {
    if (this.batchSize > 1) this.bytes[this.end++] = CLOSING_BRACKET
    const body = Buffer.from(this.bytes.subarray(0, this.end))
    this.end = this.points = 0
    return body
  }
}

/** Frames; their sequence number is ignored over HTTP. */
class MsgpackBody implements Body {
  readonly contentType = 'application/msgpack'
  private readonly encoder: PacketEncoder

  constructor (private readonly ids: readonly string[], batchSize: number) {
    this.encoder = new PacketEncoder(FRAME_HEAD_BYTES_MAX + batchSize * FRAME_POINT_BYTES_MAX)
    this.encoder.begin('sim', 0, 0)
  }

  get points (): number {
    return this.encoder.points
  }

  add (satellite: number, timeMs: number, values: Float64Array): void {
    if (!this.encoder.add(this.ids[satellite] ?? '', timeMs * 1000, values)) {
      throw new RangeError('the body has no room for this point')
    }
  }

  take (): Buffer {
    const body = Buffer.from(this.encoder.finish())
    this.encoder.begin('sim', 0, 0)
    return body
  }
}
