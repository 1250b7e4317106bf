/**
 * Encodes frames, with a key authenticated ones. packet.ts and packet-key.ts have the grammar.
 *
 *   begin → add, add, … → finish → begin → …        finish without add: a heartbeat
 *
 * Whoever fills frames of several streams at a time numbers them when they are finished, in the order in which they are
 * sent: the receiver takes numbers out of order for losses.
 *
 * Reuses one buffer of fixed size. Numbers take the fewest bytes that represent them exactly: integers of up to 32 bits
 * as int, others as float 32 if that is exact, or else as float 64. Decoding yields the same values, to the last bit.
 * Text and numbers are not validated: the receiver does that.
 */
import { POINTS_MAX } from '../columns.js'
import {
  FRAME_ELEMENTS, FRAME_VERSION, KEYED_FRAME_ELEMENTS, PACKET_BYTES_MAX, SENDER_CHARACTERS_MAX
} from './packet.js'
import {
  CODE_ELEMENT_BYTES, KEYED_FRAME_VERSION, KEY_ID_CHARACTERS_MAX, KEY_RULE, PacketSigner, parsePacketKey
} from './packet-key.js'
import { SATELLITE_ID_CHARACTERS_MAX } from '../satellites.js'
import { STREAM_NAME_BYTES_MAX, TELEMETRY } from '../catalogue.js'
import { METRICS_MAX } from '../schema.js'

/** A character outside the basic plane takes two UTF-16 units. A unit takes at most three bytes of UTF-8. */
const UNITS_PER_CHARACTER = 2
const UNIT_BYTES_MAX = 3
const SENDER_UNITS_MAX = SENDER_CHARACTERS_MAX * UNITS_PER_CHARACTER
const SATELLITE_ID_UNITS_MAX = SATELLITE_ID_CHARACTERS_MAX * UNITS_PER_CHARACTER

const ARRAY_HEAD_BYTES_MAX = 3
/** Longest array whose length fits into the first byte. */
const SHORT_ARRAY_MAX = 15
const TEXT_HEAD_BYTES_MAX = 3
const NUMBER_BYTES_MAX = 9
/** The points are an array 16, because their number is known only at the end. */
const POINTS_HEAD_BYTES = 3
const SENDER_BYTES_MAX = TEXT_HEAD_BYTES_MAX + SENDER_UNITS_MAX * UNIT_BYTES_MAX
const SATELLITE_ID_BYTES_MAX = TEXT_HEAD_BYTES_MAX + SATELLITE_ID_UNITS_MAX * UNIT_BYTES_MAX
const STREAM_BYTES_MAX = 1 + STREAM_NAME_BYTES_MAX
const HEADER_BYTES_MAX = ARRAY_HEAD_BYTES_MAX + SENDER_BYTES_MAX + 3 * NUMBER_BYTES_MAX + STREAM_BYTES_MAX +
  POINTS_HEAD_BYTES
/** What a key adds to a frame. */
export const KEYED_BYTES_MAX = TEXT_HEAD_BYTES_MAX + KEY_ID_CHARACTERS_MAX + CODE_ELEMENT_BYTES
const ROW_BYTES_MAX = ARRAY_HEAD_BYTES_MAX + SATELLITE_ID_BYTES_MAX + (1 + METRICS_MAX) * NUMBER_BYTES_MAX

const TWO_32 = 4_294_967_296
const NIL = 0xc0

export class PacketEncoder {
  private readonly bytes: Buffer
  private readonly view: DataView
  private at = 0
  private pointsAt = 0
  /** Where the number goes that is still to come; 0: it is there. */
  private seqAt = 0
  private count = 0
  private readonly keyId: string
  private readonly signer: PacketSigner | null
  /** Of rows and what precedes them. */
  private readonly rowsEndMax: number

  /**
   * @param bytesMax largest packet; PACKET_BYTES_RECOMMENDED for networks other than loopback
   * @param key as ID:SECRET, for servers that require one; null: frames are not authenticated
   * @throws {TypeError} if the key is none
   */
  constructor (bytesMax: number = PACKET_BYTES_MAX, key: string | null = null) {
    const parsed = key === null ? null : parsePacketKey(key)
    if (key !== null && parsed === null) throw new TypeError(`the key ${KEY_RULE}`)
    const bytesMin = HEADER_BYTES_MAX + (parsed === null ? 0 : KEYED_BYTES_MAX)
    if (!(bytesMax >= bytesMin)) throw new RangeError(`bytesMax must be at least ${bytesMin}`)
    this.keyId = parsed?.id ?? ''
    this.signer = parsed === null ? null : new PacketSigner(parsed.secret)
    this.rowsEndMax = bytesMax - (parsed === null ? 0 : CODE_ELEMENT_BYTES)
    // Space for one more row: a row is written first, and undone if it does not fit.
    this.bytes = Buffer.alloc(bytesMax + ROW_BYTES_MAX)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length)
  }

  /** Points in the current frame. */
  get points (): number {
    return this.count
  }

  /**
   * Starts a frame, and discards an unfinished one.
   * @param sender at most 32 characters
   * @param epoch integer from 0, increasing with each start of the sender
   * @param seq integer from 0, increasing by one with each packet; null: finish() gets it, and it takes nine bytes
   * @param stream name of the stream of all points in the frame
   */
  begin (sender: string, epoch: number, seq: number | null, stream = TELEMETRY): void {
    if (Buffer.byteLength(stream) > STREAM_NAME_BYTES_MAX) {
      throw new RangeError(`the name of a stream has at most ${STREAM_NAME_BYTES_MAX} bytes`)
    }
    if (sender.length > SENDER_UNITS_MAX) {
      throw new RangeError(`a sender has at most ${SENDER_CHARACTERS_MAX} characters`)
    }
    this.at = 0
    this.count = 0
    const isKeyed = this.signer !== null
    // Servers that know no other stream take frames without a name.
    const hasStream = stream !== TELEMETRY
    this.writeArrayHead((isKeyed ? KEYED_FRAME_ELEMENTS : FRAME_ELEMENTS) + Number(hasStream))
    this.bytes[this.at++] = isKeyed ? KEYED_FRAME_VERSION : FRAME_VERSION
    if (isKeyed) this.writeText(this.keyId)
    this.writeText(sender)
    this.writeWhole(epoch)
    this.seqAt = seq === null ? this.at : 0
    if (seq === null) this.at += NUMBER_BYTES_MAX
    else this.writeWhole(seq)
    if (hasStream) this.writeText(stream)
    this.pointsAt = this.at
    this.at += POINTS_HEAD_BYTES
  }

  /**
   * Adds a point. Returns false and leaves the frame unchanged if the point does not fit: finish the frame, and begin
   * another.
   * @param timeMicros µs since 1970-01-01 UTC; null: the time of receipt
   * @param metrics in the order of the stream, NaN for nil; the last ones may be omitted
   */
  add (satelliteId: string, timeMicros: number | null, metrics: ArrayLike<number>): boolean {
    if (satelliteId.length > SATELLITE_ID_UNITS_MAX) {
      throw new RangeError(`a satellite id has at most ${SATELLITE_ID_CHARACTERS_MAX} characters`)
    }
    if (metrics.length > METRICS_MAX) throw new RangeError(`a point has at most ${METRICS_MAX} metrics`)
    if (this.count === POINTS_MAX) return false
    const start = this.at
    this.writeArrayHead(2 + metrics.length)
    this.writeText(satelliteId)
    if (timeMicros === null) this.bytes[this.at++] = NIL
    else this.writeWhole(timeMicros)
    for (let metric = 0; metric < metrics.length; metric++) this.writeNumber(metrics[metric] ?? NaN)
    if (this.at > this.rowsEndMax) {
      this.at = start
      return false
    }
    this.count++
    return true
  }

  /**
   * The packet; valid until the next begin().
   * @param seq if begin() did not get it
   */
  finish (seq: number | null = null): Buffer {
    if (this.seqAt === 0 ? seq !== null : seq === null) throw new TypeError('a frame gets one number')
    if (seq !== null) this.writeWide(this.seqAt, seq)
    this.view.setUint8(this.pointsAt, 0xdc)
    this.view.setUint16(this.pointsAt + 1, this.count)
    return this.bytes.subarray(0, this.signer === null ? this.at : this.signer.sign(this.bytes, this.at))
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
      // Most names are short ASCII, for which a loop is faster than a call into C++.
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

  /** An integer of at most 53 bits. */
  private writeWhole (value: number): void {
    if (isInt32OrUint32(value)) {
      this.writeInteger(value)
      return
    }
    this.writeWide(this.at, value)
    this.at += NUMBER_BYTES_MAX
  }

  /** The same, in nine bytes at `at`. */
  private writeWide (at: number, value: number): void {
    const high = Math.floor(value / TWO_32)
    this.bytes[at] = value < 0 ? 0xd3 : 0xcf
    this.view.setInt32(at + 1, high)
    this.view.setUint32(at + 5, value - high * TWO_32)
  }

  /** An integer from -2^31, below 2^32. */
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

/** False for -0, which an int cannot represent. */
function isInt32OrUint32 (value: number): boolean {
  return ((value | 0) === value || value >>> 0 === value) && (value !== 0 || 1 / value > 0)
}
