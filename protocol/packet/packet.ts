/**
 * Decodes msgpack bodies and packets into columns. SPEC.md is the documentation for users.
 *
 *   packet  = point | [ point … ] | frame
 *   point   = { "satellite_id": text, "time": …, metric name: number | nil … }        as in JSON
 *   frame   = [ version, sender, epoch, seq, [ row … ] ]                              version 1
 *           | [ version, sender, epoch, seq, stream, [ row … ] ]
 *   stream  = its name; frames without one, and points outside a frame, are of telemetry
 *   row     = [ satellite_id, time, metric … ]      metrics in the order of the catalogue, missing ones at the end: nil
 *   time    = µs since 1970-01-01 UTC as an int, or a float64 with an integer value; nil: the time of receipt
 *
 * An authenticated frame (packet-key.ts) has two more elements. It is decoded without its code, by the receiver that
 * has checked it.
 *
 * An array whose first element is a number is a frame. Its version is read before anything else, so that later versions
 * are free to change what follows. A stream is named before its points, so that nothing is read of an unknown one's.
 * Over HTTP the path names it instead.
 *
 * Promises: never throws, never recurses, accepts only the types of the format. Either all points of a packet are
 * accepted or none. Rows are written straight into columns, without an object per point. Every refusal has a named
 * reason.
 */
import { POINTS_MAX, type PointColumns } from '../columns.js'
import { tooManyPoints, tooMuch, type DecodeFault } from '../faults.js'
import { MsgpackReader, NOT_A_NUMBER, SKIPPED_MAX } from './msgpack-reader.js'
import { readPlainPoints } from './packet-plain.js'
import { explainRow, readRow } from './packet-row.js'
import { KEYED_FRAME_VERSION } from './packet-key.js'
import { PointReader, type DecodeRules } from '../point.js'
import { SatelliteTable } from '../satellites.js'
import { STREAM_NAME_BYTES_MAX } from '../catalogue.js'

/** The frame version without a code. */
export const FRAME_VERSION = 1
/** Longest sender, in Unicode code points. Otherwise, the rule for satellite ids applies. */
export const SENDER_CHARACTERS_MAX = 32
/** Largest packet that UDP over IPv4 can carry. */
export const PACKET_BYTES_MAX = 65_507
/** Recommended: fits into an Ethernet frame, even through a tunnel, so that IP never fragments it. */
export const PACKET_BYTES_RECOMMENDED = 1_400

/** Reasons to refuse a packet. The list is part of the interface: metrics have these names. */
export const MALFORMED_REASONS = [
  /** No bytes. */
  'empty',
  /** Truncated, or has a byte that starts no value. */
  'not_msgpack',
  /** Bytes follow the packet. */
  'trailing_bytes',
  /** Neither a map nor an array. */
  'bad_shape',
  /** A frame of an unsupported version. */
  'unknown_version',
  /** A frame whose elements are not exactly version, sender, epoch, seq and points, each of its type. */
  'bad_header',
  /** Points of a stream that is not in the catalogue. */
  'unknown_stream',
  /** At least one invalid point. */
  'invalid_point'
] as const
export type MalformedReason = typeof MALFORMED_REASONS[number]

export interface FrameHeader {
  readonly sender: string
  /** Increases with each start of the sender; an integer from 0, below 2^53. */
  readonly epoch: number
  /** Number of the packet in its epoch, from 0; heartbeats count too. */
  readonly seq: number
}

export interface PlainPacket {
  readonly kind: 'plain'
  /** A map, not an array of maps. */
  readonly single: boolean
}

export interface FramePacket extends FrameHeader {
  readonly kind: 'frame'
}

export interface MalformedPacket {
  readonly kind: 'malformed'
  readonly reason: MalformedReason
  /** For the answer to an HTTP request. `points` are those read before the decoder gave up. */
  readonly fault: DecodeFault
  /** The header, if only stream or points are at fault: the packet has arrived, and takes its place in the sequence. */
  readonly header: FrameHeader | null
}

export type PacketResult = PlainPacket | FramePacket | MalformedPacket

/** Where the points of a stream go, and what holds for them. */
export interface PacketStream {
  readonly columns: PointColumns
  readonly rules: DecodeRules
}

/** Null: there is no such stream. Called once a packet at most, before the points. */
export type StreamOf = (stream: string) => PacketStream | null

const SENDER_RULE = `must be text of 1 to ${SENDER_CHARACTERS_MAX} characters, ` +
  'without control characters or white space at either end'
const COUNT_RULE = 'must be an integer from 0, below 2^53'
const FRAME_SHAPE = '[version, sender, epoch, seq, points]'
/** Without a stream. */
export const FRAME_ELEMENTS = 5
/** With key id and code, without a stream. */
export const KEYED_FRAME_ELEMENTS = 7
/** Sender names cached as strings; the cache is cleared when full. */
const SENDER_NAMES_MAX = 10_000

const PLAIN_SINGLE: PlainPacket = { kind: 'plain', single: true }
const PLAIN_ARRAY: PlainPacket = { kind: 'plain', single: false }

function malformed (reason: MalformedReason, message: string, points = 0): MalformedPacket {
  return { kind: 'malformed', reason, fault: { code: 'invalid_msgpack', message, points }, header: null }
}

function invalidPoints (fault: DecodeFault, header: FrameHeader | null = null): MalformedPacket {
  return { kind: 'malformed', reason: 'invalid_point', fault, header }
}

const notMsgpack = (points = 0): MalformedPacket =>
  malformed('not_msgpack', 'The msgpack is truncated, or has a byte that starts no value.', points)

/** Decodes one packet at a time, and uses it only during decode(). */
class PacketDecoder {
  private readonly reader = new MsgpackReader()
  /** Senders follow the rule for satellite ids, so the same table turns their bytes into strings. */
  private readonly senders = new SatelliteTable(SENDER_NAMES_MAX)
  /** Returned every time. */
  private readonly frame = { kind: 'frame' as const, sender: '', epoch: 0, seq: 0 }

  private isKeyed = false
  /** Null: packets cannot name a stream. */
  private streamOf: StreamOf | null = null
  /** The stream that the packet names; null: it names none. */
  private named: PacketStream | null = null

  decode (
    bytes: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns,
    isKeyed: boolean, streamOf: StreamOf | null
  ): PacketResult {
    const reader = this.reader
    this.begin(bytes, isKeyed, streamOf)
    columns.clear()
    satellites.begin()
    let result: PacketResult
    const kind = reader.peek()
    if (kind === 'array') {
      result = this.decodeArray(nowMicros, rules, satellites, columns)
    } else if (kind === 'map') {
      result = this.decodePlain(1, PLAIN_SINGLE, new PointReader(nowMicros, rules, satellites, columns))
    } else if (kind === 'end') {
      result = malformed('empty', 'The packet is empty.')
    } else if (!reader.skip()) {
      result = notMsgpack()
    } else {
      result = malformed('bad_shape', `Send a map (one point), an array of maps, or a frame ${FRAME_SHAPE}.`)
    }
    const filled = this.named?.columns ?? columns
    if (result.kind !== 'malformed' && reader.at !== bytes.length) {
      result = malformed('trailing_bytes', `${bytes.length - reader.at} bytes follow the packet.`, filled.count)
    }
    // Takes precedence over other faults; only HTTP bodies can be this large.
    if (reader.left < 0) result = invalidPoints(tooMuch(filled.count, SKIPPED_MAX, 'values'))
    if (result.kind === 'malformed') filled.clear()
    return result
  }

  private begin (bytes: Buffer, isKeyed: boolean, streamOf: StreamOf | null): void {
    this.isKeyed = isKeyed
    this.streamOf = streamOf
    this.named = null
    this.reader.reset(bytes)
  }

  private decodeArray (
    nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns
  ): PacketResult {
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
    // Reads none of them: the count may be false.
    if (rows > POINTS_MAX) return invalidPoints(tooManyPoints(0))
    const { named } = this
    return this.decodeRows(rows, nowMicros, named?.rules ?? rules, satellites, named?.columns ?? columns)
  }

  private decodePlain (count: number, result: PlainPacket, points: PointReader): PacketResult {
    if (!readPlainPoints(this.reader, count, points)) return notMsgpack(points.points)
    const fault = points.fault() ?? (count > POINTS_MAX ? tooManyPoints(points.points) : null)
    return fault === null ? result : invalidPoints(fault)
  }

  /** Reads version, sender, epoch and seq into `frame`, and finds the stream; the points are next. */
  private readHeader (elements: number): MalformedPacket | null {
    const reader = this.reader
    const frame = this.frame
    let start = reader.at
    const version = reader.readInteger()
    if (version === NOT_A_NUMBER) return this.badHeader(start, 'version must be an integer')
    if (version !== (this.isKeyed ? KEYED_FRAME_VERSION : FRAME_VERSION)) {
      const message = `Frames of version ${version} are not supported here, only version ${FRAME_VERSION}.`
      return malformed('unknown_version', message)
    }
    const more = elements - (this.isKeyed ? KEYED_FRAME_ELEMENTS : FRAME_ELEMENTS)
    const hasStream = more === 1 && this.streamOf !== null
    if (more !== 0 && !hasStream) {
      return malformed('bad_header', `A frame is ${FRAME_SHAPE}, but this array has ${elements} elements.`)
    }
    // The key id, by which the packet was authenticated.
    if (this.isKeyed && !reader.skip()) return notMsgpack()
    start = reader.at
    const sender = this.readSender()
    if (sender === null) return this.badHeader(start, `sender ${SENDER_RULE}`)
    frame.sender = sender
    start = reader.at
    frame.epoch = reader.readWhole()
    if (!isCount(frame.epoch)) return this.badHeader(start, `epoch ${COUNT_RULE}`)
    start = reader.at
    frame.seq = reader.readWhole()
    if (!isCount(frame.seq)) return this.badHeader(start, `seq ${COUNT_RULE}`)
    return hasStream ? this.readStream() : null
  }

  /** Finds the stream whose name is next. */
  private readStream (): MalformedPacket | null {
    const reader = this.reader
    const start = reader.at
    const length = reader.readTextLength()
    if (length < 0) return this.badHeader(start, 'stream must be text')
    const isPossible = length <= STREAM_NAME_BYTES_MAX
    // Names are ASCII. A longer text, and what follows, is not read at all.
    const name = isPossible ? reader.bytes.toString('latin1', reader.at, reader.at += length) : ''
    const stream = isPossible ? this.streamOf?.(name) ?? null : null
    if (stream === null) {
      const { sender, epoch, seq } = this.frame
      return { ...malformed('unknown_stream', 'There is no such stream.'), header: { sender, epoch, seq } }
    }
    this.named = stream
    stream.columns.clear()
    return null
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

  /** Distinguishes an element of a wrong type, which starts at `start`, from a truncated one. */
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
    return invalidPoints(faults.fault() as DecodeFault, { sender, epoch, seq })
  }
}

const isCount = (value: number): boolean => value >= 0 && value <= Number.MAX_SAFE_INTEGER

const decoder = new PacketDecoder()

/**
 * Decodes a body or packet, and uses `bytes` only during the call. Clears `columns` first; they have all points after
 * 'plain' and 'frame', and none after 'malformed'. If the packet names a stream, this holds for the columns of that
 * stream. To keep the points' satellites, call satellites.keep(). `nowMicros` is the time of receipt in whole µs since
 * 1970-01-01 UTC. The result is valid until the next call.
 * @param isKeyed it is a frame of version 2 that was authenticated; `bytes` are all that precede its code element
 * @param streamOf for packets that name a stream, whose satellites are the same; null: they are refused
 */
export function decodePacket (
  bytes: Buffer, nowMicros: number, rules: DecodeRules, satellites: SatelliteTable, columns: PointColumns,
  isKeyed = false, streamOf: StreamOf | null = null
): PacketResult {
  return decoder.decode(bytes, nowMicros, rules, satellites, columns, isKeyed, streamOf)
}
