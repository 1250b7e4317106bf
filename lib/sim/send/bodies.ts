/** Bodies of HTTP requests: points are encoded straight into one buffer, in the chosen format. */
import type { PointSchema } from '../../../protocol/schema.js'
import { BODY_PARTS_MAX } from '../../../protocol/json/json-exact.js'
import { PacketEncoder } from '../../../protocol/packet/packet-encoder.js'
import { PointText } from '../fleet/point-text.js'

const OPENING_BRACKET = 91
const CLOSING_BRACKET = 93
const COMMA = 44
/** Upper bounds for a point in a frame with the fleet's ids: without its values, and each of them. */
const FRAME_POINT_HEAD_BYTES_MAX = 96
const FRAME_VALUE_BYTES = 9
const FRAME_HEAD_BYTES_MAX = 512
/** Half of what a server takes by default. */
const BODY_BYTES_MAX = 4 * 1024 * 1024
/** Fields of a point besides its metrics, and the point itself. */
const OWN_PARTS = 3

/** Bytes of the largest frame with one point of the fleet. */
export function frameBytesMax (schema: PointSchema): number {
  return FRAME_HEAD_BYTES_MAX + framePointBytesMax(schema)
}

function framePointBytesMax ({ metricCount }: PointSchema): number {
  return FRAME_POINT_HEAD_BYTES_MAX + metricCount * FRAME_VALUE_BYTES
}

export type BodyFormat = 'json' | 'msgpack'

export interface Body {
  readonly contentType: string
  /** Most points of a body: no more than a server takes. */
  readonly pointsMax: number
  /** Points since the last take(). */
  readonly points: number
  /** Adds a point; at most pointsMax before the next take(). */
  add (satellite: number, timeMs: number, values: Float64Array): void
  /** Returns the points added, and starts over. Valid until the next add(). */
  take (): Buffer
}

/** @param batchSize 1: one point per body; more: batches of at most this many, or as many as a server takes */
export function createBody (format: BodyFormat, ids: readonly string[], schema: PointSchema, batchSize: number): Body {
  return format === 'json' ? new JsonBody(ids, schema, batchSize) : new MsgpackBody(ids, schema, batchSize)
}

class JsonBody implements Body {
  readonly contentType = 'application/json'
  points = 0
  readonly pointsMax: number
  private readonly text: PointText
  private readonly bytes: Buffer
  private end = 0

  constructor (ids: readonly string[], schema: PointSchema, private readonly batchSize: number) {
    this.text = new PointText(ids, schema)
    const pointBytesMax = this.text.pointBytesMax + 1
    this.pointsMax = Math.min(
      batchSize, Math.floor(BODY_PARTS_MAX / (schema.metricCount + OWN_PARTS)),
      Math.floor(BODY_BYTES_MAX / pointBytesMax))
    this.bytes = Buffer.allocUnsafeSlow(this.pointsMax * pointBytesMax + 1)
  }

  add (satellite: number, timeMs: number, values: Float64Array): void {
    if (this.batchSize > 1) this.bytes[this.end++] = this.points === 0 ? OPENING_BRACKET : COMMA
    this.end = this.text.write(this.bytes, this.end, satellite, timeMs, values)
    this.points++
  }

  take (): Buffer {
    if (this.batchSize > 1) this.bytes[this.end++] = CLOSING_BRACKET
    const body = this.bytes.subarray(0, this.end)
    this.end = this.points = 0
    return body
  }
}

/** Frames; their sequence number is ignored over HTTP. */
class MsgpackBody implements Body {
  readonly contentType = 'application/msgpack'
  readonly pointsMax: number
  private readonly encoder: PacketEncoder

  constructor (private readonly ids: readonly string[], schema: PointSchema, batchSize: number) {
    const pointBytesMax = framePointBytesMax(schema)
    this.pointsMax = Math.min(batchSize, Math.floor(BODY_BYTES_MAX / pointBytesMax))
    this.encoder = new PacketEncoder(FRAME_HEAD_BYTES_MAX + this.pointsMax * pointBytesMax)
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
