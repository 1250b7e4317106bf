/**
 * Encodes frames; packet.ts has the grammar.
 *
 *   begin → add, add, … → finish → begin → …        finish without add: a heartbeat
 *
 * One buffer of a fixed size is written again and again. Numbers take the fewest bytes that hold them exactly:
 * whole ones of up to 32 bits as int, what a float 32 holds as float 32, all others as float 64. Values come out of
 * the decoder as they went in, to the last bit. Text and numbers are not judged here: the receiver does.
 */
import { POINTS_MAX } from '../columns.js'
import { FRAME_VERSION, PACKET_BYTES_MAX, SENDER_CHARACTERS_MAX } from './packet.js'
import { SATELLITE_ID_CHARACTERS_MAX } from '../satellites.js'
import { METRICS_MAX } from '../schema.js'

/** A character outside the basic plane takes two UTF-16 units; a unit takes three bytes of UTF-8 at most. */
const UNITS_PER_CHARACTER = 2
const UNIT_BYTES_MAX = 3
const SENDER_UNITS_MAX = SENDER_CHARACTERS_MAX * UNITS_PER_CHARACTER
const SATELLITE_ID_UNITS_MAX = SATELLITE_ID_CHARACTERS_MAX * UNITS_PER_CHARACTER

const ARRAY_HEAD_BYTES_MAX = 3
/** Elements whose count fits into the first byte. */
const SHORT_ARRAY_MAX = 15
const TEXT_HEAD_BYTES_MAX = 3
const NUMBER_BYTES_MAX = 9
/** Array 16 for the points, because their count is known only at the end. */
const POINTS_HEAD_BYTES = 3
const HEADER_BYTES_MAX =
  ARRAY_HEAD_BYTES_MAX + TEXT_HEAD_BYTES_MAX + SENDER_UNITS_MAX * UNIT_BYTES_MAX + 3 * NUMBER_BYTES_MAX + POINTS_HEAD_BYTES
const ROW_BYTES_MAX =
  ARRAY_HEAD_BYTES_MAX + TEXT_HEAD_BYTES_MAX + SATELLITE_ID_UNITS_MAX * UNIT_BYTES_MAX + (1 + METRICS_MAX) * NUMBER_BYTES_MAX

const TWO_32 = 4_294_967_296
const NIL = 0xc0

export class PacketEncoder {
  private readonly bytes: Buffer
  private readonly view: DataView
  private at = 0
  private pointsAt = 0
  private count = 0

  /** @param bytesMax largest packet that add() makes; PACKET_BYTES_ADVISED for networks other than loopback */
  constructor (private readonly bytesMax: number = PACKET_BYTES_MAX) {
    if (!(bytesMax >= HEADER_BYTES_MAX)) throw new RangeError(`bytesMax must be ${HEADER_BYTES_MAX} at least`)
    // Room for one row too many: a row is written first and taken back if it went too far.
    this.bytes = Buffer.alloc(bytesMax + ROW_BYTES_MAX)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  }

  /** Points in the frame that is being written. */
  get points (): number {
    return this.count
  }

  /**
   * Begins a frame; one that was not finished is dropped.
   * @param sender 32 characters at most
   * @param epoch whole number from 0, larger at each start of the sender
   * @param seq whole number from 0, one more at each packet
   */
  begin (sender: string, epoch: number, seq: number): void {
    if (sender.length > SENDER_UNITS_MAX) throw new RangeError(`a sender has ${SENDER_CHARACTERS_MAX} characters at most`)
    this.at = 0
    this.count = 0
    this.bytes[this.at++] = 0x95
    this.bytes[this.at++] = FRAME_VERSION
    this.writeText(sender)
    this.writeWhole(epoch)
    this.writeWhole(seq)
    this.pointsAt = this.at
    this.at += POINTS_HEAD_BYTES
  }

  /**
   * Adds a point. Returns false, with the frame as it was, if it has no room: finish this frame and begin the next.
   * @param timeMicros µs since 1970-01-01 UTC; null: the time of receipt
   * @param metrics in the order of the stream, NaN for nil; the last ones may be left out
   */
  add (satelliteId: string, timeMicros: number | null, metrics: ArrayLike<number>): boolean {
    if (satelliteId.length > SATELLITE_ID_UNITS_MAX) {
      throw new RangeError(`a satellite id has ${SATELLITE_ID_CHARACTERS_MAX} characters at most`)
    }
    if (metrics.length > METRICS_MAX) throw new RangeError(`a point has ${METRICS_MAX} metrics at most`)
    if (this.count === POINTS_MAX) return false
    const start = this.at
    this.writeArrayHead(2 + metrics.length)
    this.writeText(satelliteId)
    if (timeMicros === null) this.bytes[this.at++] = NIL
    else this.writeWhole(timeMicros)
    for (let metric = 0; metric < metrics.length; metric++) this.writeNumber(metrics[metric] ?? NaN)
    if (this.at > this.bytesMax) {
      this.at = start
      return false
    }
    this.count++
    return true
  }

  /** The packet; valid until the next begin(). */
  finish (): Buffer {
    this.view.setUint8(this.pointsAt, 0xdc)
    this.view.setUint16(this.pointsAt + 1, this.count)
    return this.bytes.subarray(0, this.at)
  }

  private writeArrayHead (elements: number): void {
    if (elements <= SHORT_ARRAY_MAX) {
      this.bytes[this.at++] = 0x90 | elements
      return
    }
    this.bytes[this.at++] = 0xdc
    this.view.setUint16(this.at, elements)
    this.at += 2
  }

  private writeText (text: string): void {
    const start = this.at
    if (text.length < 32) {
      // Nearly every name is short ASCII: a loop is quicker than a call into C++.
      this.bytes[this.at++] = 0xa0 | text.length
      let isAscii = true
      for (let unit = 0; unit < text.length && isAscii; unit++) {
        const code = text.charCodeAt(unit)
        isAscii = code < 0x80
        this.bytes[this.at++] = code
      }
      if (isAscii) return
    }
    const length = Buffer.byteLength(text)
    this.at = start
    if (length < 32) {
      this.bytes[this.at++] = 0xa0 | length
    } else if (length < 256) {
      this.bytes[this.at++] = 0xd9
      this.bytes[this.at++] = length
    } else {
      this.bytes[this.at++] = 0xda
      this.view.setUint16(this.at, length)
      this.at += 2
    }
    this.at += this.bytes.write(text, this.at, 'utf8')
  }

  private writeNumber (value: number): void {
    const at = this.at
    if (value !== value) { // eslint-disable-line no-self-compare -- NaN
      this.bytes[this.at++] = NIL
    } else if (isInt32OrUint32(value)) {
      this.writeInteger(value)
    } else if (Math.fround(value) === value) {
      this.bytes[at] = 0xca
      this.view.setFloat32(at + 1, value)
      this.at = at + 5
    } else {
      this.bytes[at] = 0xcb
      this.view.setFloat64(at + 1, value)
      this.at = at + 9
    }
  }

  /** A whole number of at most 53 bits. */
  private writeWhole (value: number): void {
    if (isInt32OrUint32(value)) {
      this.writeInteger(value)
      return
    }
    const at = this.at
    const high = Math.floor(value / TWO_32)
    this.bytes[at] = value < 0 ? 0xd3 : 0xcf
    this.view.setInt32(at + 1, high)
    this.view.setUint32(at + 5, value - high * TWO_32)
    this.at = at + 9
  }

  /** A whole number from -2^31, below 2^32. */
  private writeInteger (value: number): void {
    const { bytes, view, at } = this
    if (value >= -32 && value < 128) {
      bytes[at] = value
      this.at = at + 1
    } else if (value >= -128 && value < 256) {
      bytes[at] = value < 0 ? 0xd0 : 0xcc
      bytes[at + 1] = value
      this.at = at + 2
    } else if (value >= -32_768 && value < 65_536) {
      bytes[at] = value < 0 ? 0xd1 : 0xcd
      view.setInt16(at + 1, value)
      this.at = at + 3
    } else {
      bytes[at] = value < 0 ? 0xd2 : 0xce
      view.setInt32(at + 1, value)
      this.at = at + 5
    }
  }
}

/** Not -0: an int has no sign at zero. */
function isInt32OrUint32 (value: number): boolean {
  return ((value | 0) === value || value >>> 0 === value) && (value !== 0 || 1 / value > 0)
}
