/**
 * Decodes msgpack bodies and packets into columns; SPEC.md is the grammar for people.
 *
 *   packet  = point | [ point … ] | frame
 *   point   = { "satellite_id": text, "time": …, metric name: number | nil … }        as in JSON
 *   frame   = [ version, sender, epoch, seq, [ row … ] ]                              version 1
 *   row     = [ satellite_id, time, metric … ]      metrics in the order of the catalogue, missing ones at the end: nil
 *   time    = µs since 1970-01-01 UTC as an int, or a float64 that holds a whole number; nil: the time of receipt
 *
 * An array whose first element is a number is a frame; its version is looked at before all else, so that what later
 * versions put behind it never matters to this one.
 *
 * Promises: never throws, never recurses, takes nothing but the types of the format. All points of a packet are taken
 * or none. Rows go from bytes straight into columns: no object per point. What is refused has a named reason.
 */
import { POINTS_MAX, type PointColumns } from '../columns.js'
import { tooManyPoints, tooMuch, type DecodeFault } from '../faults.js'
import { MsgpackReader, NOT_A_NUMBER, SKIPPED_MAX } from './msgpack-reader.js'
import { readPlainPoints } from './packet-plain.js'
import { explainRow, readRow } from './packet-row.js'
import { PointReader, type DecodeRules } from '../point.js'
import { SatelliteTable } from '../satellites.js'

/** The frame version that is spoken. */
export const FRAME_VERSION = 1
/** Longest sender, in Unicode code points; otherwise the rule of satellite ids holds. */
export const SENDER_CHARACTERS_MAX = 32
/** Largest packet that UDP over IPv4 can carry. */
export const PACKET_BYTES_MAX = 65_507
/** Advised: fits one Ethernet frame with room for tunnels, so that IP never has to split it. */
export const PACKET_BYTES_ADVISED = 1_400

/** Why a packet is refused. The list is part of the interface: counters carry these names. */
export const MALFORMED_REASONS = [
  /** No bytes at all. */
  'empty',
  /** Ends before its values do, or holds a byte that begins no value. */
  'not_msgpack',
  /** Something follows the packet. */
  'trailing_bytes',
  /** Neither map nor array. */
  'bad_shape',
  /** A frame of a version that is not spoken here. */
  'unknown_version',
  /** A frame without exactly version, sender, epoch, seq, points, or with one of them of a wrong type. */
  'bad_header',
  /** At least one point breaks a rule. */
  'invalid_point'
] as const
export type MalformedReason = typeof MALFORMED_REASONS[number]

/** What a frame says about itself. */
export interface FrameHeader {
  readonly sender: string
  /** Grows at each start of the sender; a whole number from 0, below 2^53. */
  readonly epoch: number
  /** Counts the packets of an epoch from 0, heartbeats too. */
  readonly seq: number
}

export interface PlainPacket {
  readonly kind: 'plain'
  /** One map, not an array of maps. */
  readonly single: boolean
}

export interface FramePacket extends FrameHeader {
  readonly kind: 'frame'
}

export interface MalformedPacket {
  readonly kind: 'malformed'
  readonly reason: MalformedReason
  /** For an answer over HTTP; `points` are those that were seen before the decoder gave up. */
  readonly fault: DecodeFault
  /** The header, if only the points are at fault: the packet did arrive and has its place in the sequence. */
  readonly header: FrameHeader | null
}

export type PacketResult = PlainPacket | FramePacket | MalformedPacket

const SENDER_RULE = `must be text of 1 to ${SENDER_CHARACTERS_MAX} characters, with no control characters and no white space at either end`
const COUNT_RULE = 'must be a whole number from 0, below 2^53'
const FRAME_SHAPE = '[version, sender, epoch, seq, points]'
const HEADER_ELEMENTS = 5
/** Names of senders that are kept as strings; with more of them the table begins again. */
const SENDER_NAMES_MAX = 10_000

const PLAIN_SINGLE: PlainPacket = { kind: 'plain', single: true }
const PLAIN_ARRAY: PlainPacket = { kind: 'plain', single: false }

function malformed (reason: MalformedReason, message: string, points = 0): MalformedPacket {
  return { kind: 'malformed', reason, fault: { code: 'invalid_msgpack', message, points }, header: null }
}

const notMsgpack = (points = 0): MalformedPacket =>
  malformed('not_msgpack', 'The msgpack ends too early, or holds a byte that begins no value.', points)

/** One packet at a time; a packet is not looked at any more after decode() has returned. */
class PacketDecoder {
  private readonly reader = new MsgpackReader()
  /** The rule of satellite ids is that of senders, so the same kind of table turns their bytes into strings. */
  private readonly senders = new SatelliteTable(SENDER_NAMES_MAX)
  /** Given out again and again. */
  private readonly frame = { kind: 'frame' as const, sender: '', epoch: 0, seq: 0 }

  decode (bytes: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns): PacketResult {
    const reader = this.reader
    reader.reset(bytes)
    columns.clear()
    satellites.begin()
    let result: PacketResult
    const kind = reader.peek()
    if (kind === 'array') result = this.decodeArray(nowMicros, rules, satellites, columns)
    else if (kind === 'map') result = this.decodePlain(1, PLAIN_SINGLE, new PointReader(nowMicros, rules, satellites, columns))
    else if (kind === 'end') result = malformed('empty', 'The packet is empty.')
    else if (!reader.skip()) result = notMsgpack()
    else result = malformed('bad_shape', `Send a map (one point), an array of maps, or a frame ${FRAME_SHAPE}.`)
    if (result.kind !== 'malformed' && reader.at !== bytes.length) {
      result = malformed('trailing_bytes', `${bytes.length - reader.at} bytes follow the packet.`, columns.count)
    }
    // No packet is that large: what is wrong with it besides does not matter.
    if (reader.left < 0) result = { kind: 'malformed', reason: 'invalid_point', fault: tooMuch(columns.count, SKIPPED_MAX, 'values'), header: null }
    if (result.kind === 'malformed') columns.clear()
    return result
  }

  private decodeArray (nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns): PacketResult {
    const reader = this.reader
    const elements = reader.readArrayLength()
    if (elements < 0) return notMsgpack()
    if (reader.peek() !== 'number' || elements === 0) {
      return this.decodePlain(elements, PLAIN_ARRAY, new PointReader(nowMicros, rules, satellites, columns))
    }
    const refusal = this.readHeader(elements)
    if (refusal !== null) return refusal
    const start = reader.at
    const rows = reader.readArrayLength()
    if (rows < 0) return this.badHeader(start, 'points must be an array')
    // Only a body is that large, and what is not in it may be claimed: nothing is read.
    if (rows > POINTS_MAX) return { kind: 'malformed', reason: 'invalid_point', fault: tooManyPoints(0), header: null }
    return this.decodeRows(rows, nowMicros, rules, satellites, columns)
  }

  private decodePlain (count: number, result: PlainPacket, points: PointReader): PacketResult {
    if (!readPlainPoints(this.reader, count, points)) return notMsgpack(points.points)
    const fault = points.fault() ?? (count > POINTS_MAX ? tooManyPoints(points.points) : null)
    return fault === null ? result : { kind: 'malformed', reason: 'invalid_point', fault, header: null }
  }

  /** Reads version, sender, epoch and seq into `frame`; the points are next. */
  private readHeader (elements: number): MalformedPacket | null {
    const reader = this.reader
    const frame = this.frame
    let start = reader.at
    const version = reader.readInteger()
    if (version === NOT_A_NUMBER) return this.badHeader(start, 'version must be an integer')
    if (version !== FRAME_VERSION) {
      return malformed('unknown_version', `Frames of version ${version} are not known here, only version ${FRAME_VERSION}.`)
    }
    if (elements !== HEADER_ELEMENTS) {
      return malformed('bad_header', `A frame is ${FRAME_SHAPE}, but this array has ${elements} elements.`)
    }
    start = reader.at
    const sender = this.readSender()
    if (sender === null) return this.badHeader(start, `sender ${SENDER_RULE}`)
    frame.sender = sender
    start = reader.at
    frame.epoch = reader.readWhole()
    if (!isCount(frame.epoch)) return this.badHeader(start, `epoch ${COUNT_RULE}`)
    start = reader.at
    frame.seq = reader.readWhole()
    return isCount(frame.seq) ? null : this.badHeader(start, `seq ${COUNT_RULE}`)
  }

  private readSender (): string | null {
    const reader = this.reader
    const length = reader.readTextLength()
    if (length < 0) return null
    this.senders.begin()
    const sender = this.senders.byBytes(reader.bytes, reader.at, reader.at += length)?.id ?? null
    this.senders.keep()
    if (sender === null || sender.length <= SENDER_CHARACTERS_MAX) return sender
    return Array.from(sender).length <= SENDER_CHARACTERS_MAX ? sender : null
  }

  /** Tells an element of a wrong type, which begins at `start`, from one that is not all there. */
  private badHeader (start: number, message: string): MalformedPacket {
    this.reader.at = start
    return this.reader.skip() ? malformed('bad_header', `In a frame ${message}.`) : notMsgpack()
  }

  private decodeRows (
    rows: number, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
  ): PacketResult {
    const reader = this.reader
    const oldestMicros = Math.max(nowMicros - rules.timeWindowPastMs * 1000, Number.MIN_SAFE_INTEGER)
    const newestMicros = Math.min(nowMicros + rules.timeWindowFutureMs * 1000, Number.MAX_SAFE_INTEGER)
    let faults: PointReader | null = null
    for (let index = 0; index < rows; index++) {
      const start = reader.at
      if (readRow(reader, nowMicros, oldestMicros, newestMicros, satellites, columns)) continue
      reader.at = start
      if (!reader.skip()) return notMsgpack(index)
      const end = reader.at
      faults ??= new PointReader(nowMicros, rules, satellites, columns)
      faults.points = index + 1
      reader.at = start
      if (!faults.isFull) explainRow(reader, faults, nowMicros, rules, satellites)
      reader.at = end
    }
    if (faults === null) return this.frame
    faults.points = rows
    const { sender, epoch, seq } = this.frame
    const fault = faults.fault() as DecodeFault
    return { kind: 'malformed', reason: 'invalid_point', fault, header: { sender, epoch, seq } }
  }
}

const isCount = (value: number): boolean => value >= 0 && value <= Number.MAX_SAFE_INTEGER

const decoder = new PacketDecoder()

/**
 * Decodes one body or packet. `bytes` is used only during the call. `columns` are cleared first; they hold all points
 * after 'plain' and 'frame', and none after 'malformed'. Whoever takes the points calls keep() of `satellites`.
 * `nowMicros` is the time of receipt in whole µs since 1970-01-01 UTC. The result is valid until the next call.
 */
export function decodePacket (
  bytes: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
): PacketResult {
  return decoder.decode(bytes, nowMicros, rules, satellites, columns)
}
