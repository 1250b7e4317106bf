/**
 * Seeded input: valid in every format, then changed in its structure and bytes.
 *
 * Unless mutated, ids tell where a row came from: B… bodies, P… packets, R… raw requests, each with a number.
 */
import { gzipSync } from 'node:zlib'
import { Packr } from 'msgpackr'
import { Random } from '../../lib/sim/fleet/random.js'
import { METRICS } from '../support/points/built-in.js'

const packr = new Packr({ useRecords: false })
const NAMES = METRICS.map(({ name }) => name)

export type Format = 'json' | 'ndjson' | 'msgpack'

export interface Body {
  readonly path: '/telemetry' | '/telemetry/batch'
  readonly format: Format
  readonly contentType: string
  /** Before compression. */
  readonly plain: Buffer
  readonly gzip: boolean
  readonly bytes: Buffer
}

/** One write to a connection: a request, or several in a row, each with the same point. */
export interface Raw {
  readonly bytes: Buffer
  readonly requests: number
  /** The point in each request. */
  readonly body: Buffer
}

/** JSON text, or any value that msgpack can encode. */
type Field = readonly [name: string, value: unknown]

/** Of a frame from a sender of four characters; -1: any byte. */
const FRAME_HEAD = [0x95, -1, 0xa4, 0x66]

const ODD_IDS = [
  '', ' ', 'a'.repeat(64), 'a'.repeat(65), 'ÜÖ🛰', '\u0000', '\ud800', '\u2028', '"\\\n', 'x'.repeat(5_000), 7, null,
  [], {}
]
const ODD_NUMBERS = [
  0, -0, 1e308, -1.7976931348623157e308, 5e-324, 2 ** 53, -(2 ** 63), 0.1, 1e21, 123456789012345680000, null, '1', true,
  [], {}, Infinity, NaN
]
const ODD_TIMES = [
  null, 0, -1, 1e300, 2 ** 53, '2026-11-23T12:00:00Z', '', 'now', '9999-12-31T23:59:59.999999999Z', true, [], 1.5
]
const ODD_NAMES = [
  '', 'Time', 'timestamp', '__proto__', 'constructor', 'satellite_id', 'x'.repeat(2_000), 'battery_charge_percent'
]
/** Put into JSON verbatim, where JSON.stringify would write something else. */
const ODD_TEXTS = [
  '1e999', '-0', '00', '1.', '.5', '+1', '0x1', '1e-400', '"\\ud800"', '"\\u0000"', 'nul', '[[[[',
  '{"a":{"b":{"c":1}}}', '123456789012345678901234567890.123456789', '\ufeff1', '/**/1'
]
export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  json: 'application/json', ndjson: 'application/x-ndjson', msgpack: 'application/msgpack'
}
const REQUEST_LINES = [
  'POST /telemetry HTTP/1.1', 'POST /telemetry HTTP/1.1', 'POST /telemetry HTTP/1.0', 'GET /health HTTP/1.1',
  'POST http://x/telemetry HTTP/1.1', 'OPTIONS * HTTP/1.1', 'PUT /limits HTTP/1.1', 'post /telemetry http/1.1',
  'POST  /telemetry HTTP/1.1', 'POST /telemetry HTTP/9.9', 'CONNECT x:1 HTTP/1.1', 'PRI * HTTP/2.0'
]
const HEADERS = [
  'Content-Length: 5', 'Transfer-Encoding: chunked', 'Transfer-Encoding: gzip, chunked', 'Host: y', 'Connection: close',
  'Connection: upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Expect: 100-continue',
  'Expect: x', ': empty', 'No colon', ' folded: x', 'X: \u0000', 'Content-Length: -1',
  'Content-Length: 18446744073709551617', 'Content-Length : 4', 'Accept: application/msgpack', 'Origin: http://evil',
  'Authorization: Bearer x', 'Content-Type: text/html', 'Content-Encoding: gzip'
]

export class Inputs {
  private readonly random: Random
  /** Separate, since the number of draws depends on the machine. */
  private readonly renamed: Random
  private count = 0
  /** Whether odd values are allowed: half of all input has none, or nothing large would ever be accepted. */
  private isOdd = true

  constructor (seed: number, private readonly nowMs: number) {
    this.random = new Random(seed, 1)
    this.renamed = new Random(seed, 2)
  }

  body (): Body {
    this.isOdd = this.chance(0.5)
    const format = this.pick<Format>(['json', 'json', 'ndjson', 'msgpack'])
    const path = format === 'ndjson' || this.chance(0.5) ? '/telemetry/batch' : '/telemetry'
    const plain = this.mutated(this.chance(0.003) ? this.monster(format) : this.plainBody(format, path))
    const gzip = this.chance(0.25)
    const packed = gzip ? gzipSync(plain, { level: 1 }) : plain
    const contentType = CONTENT_TYPES[format]
    const bytes = gzip && this.chance(0.1) ? this.changeBytes(packed) : packed
    return { path, format, contentType, plain, gzip, bytes }
  }

  packet (): Buffer {
    this.isOdd = this.chance(0.5)
    const packet = this.chance(0.7) ? this.frame('P') : this.plainPacket()
    return this.mutated(packr.pack(packet)).subarray(0, 8_000)
  }

  /**
   * The same packet from another sender, if its sender is intact: repeated unchanged, it would be a cheaper duplicate.
   */
  anew (packet: Buffer): Buffer {
    const copy = Buffer.from(packet)
    const isFrame = FRAME_HEAD.every((byte, at) => byte === -1 || packet[at] === byte)
    if (isFrame) copy.write(Math.floor(this.renamed.unit() * 46_656).toString(36).padStart(3, '0'), 4)
    return copy
  }

  /** Intact or broken; the body itself is never mutated, so that the stored row is known. */
  raw (): Raw {
    const requests = this.chance(0.9) ? 1 : 2 + this.below(5)
    const point = { satellite_id: `R${this.count++}`, time: this.nowMs, [NAMES[0] ?? '']: 1 }
    const body = Buffer.from(JSON.stringify(point))
    return { bytes: Buffer.concat(Array.from({ length: requests }, () => this.rawRequest(body))), requests, body }
  }

  private rawRequest (body: Buffer): Buffer {
    const lines = [this.pick(REQUEST_LINES), 'Host: x', `Content-Length: ${body.length}`]
    const more = [...HEADERS, `X: ${'y'.repeat(this.below(20_000))}`]
    while (this.chance(0.5)) lines.splice(1 + this.below(lines.length), 0, this.pick(more))
    if (this.chance(0.2)) lines.splice(1 + this.below(lines.length - 1), 1)
    const head = Buffer.from(`${lines.join(this.chance(0.95) ? '\r\n' : '\n')}\r\n\r\n`, 'latin1')
    const isChunked = lines.some((line) => line.startsWith('Transfer')) && this.chance(0.8)
    const framed = isChunked ? chunked(body, this.pick(['', ';x=y', ' ', ';"'])) : body
    return Buffer.concat([this.chance(0.3) ? this.changeBytes(head) : head, framed])
  }

  private plainPacket (): unknown {
    return this.chance(0.5) ? this.object(this.fields('P')) : this.points('P').map((fields) => this.object(fields))
  }

  private plainBody (format: Format, path: Body['path']): Buffer {
    const points = path === '/telemetry' ? [this.fields('B')] : this.points('B')
    if (format === 'ndjson') {
      return Buffer.from(points.map((fields) => this.jsonOf(fields)).join(this.pick(['\n', '\r\n', '\n\n'])))
    }
    if (format === 'msgpack') {
      if (this.chance(0.4)) return packr.pack(this.frame('B'))
      const objects = points.map((fields) => this.object(fields))
      return packr.pack(path === '/telemetry' ? objects[0] : objects)
    }
    const texts = points.map((fields) => this.jsonOf(fields))
    return Buffer.from(path === '/telemetry' ? texts[0] ?? '' : `[${texts.join(this.pick([',', ', ', ',\n']))}]`)
  }

  /** Small input that could be costly, or large input that should be cheap. */
  private monster (format: Format): Buffer {
    const size = 1 + this.below(300_000)
    if (format === 'msgpack') {
      return this.pick([
        () => Buffer.alloc(size, 0x91),
        () => Buffer.concat([Buffer.from([0xdd, 0, 4, 0, 0]), Buffer.alloc(size, 0x80)]),
        () => Buffer.concat([Buffer.from([0xdf, 0x7f, 0xff, 0xff, 0xff]), Buffer.alloc(size, 0xa0)]),
        () => packr.pack([1, 's', 1, 1, Array.from({ length: size / 20 }, () => ['a', null, 1])])
      ])()
    }
    return Buffer.from(this.pick([
      () => '['.repeat(size),
      () => '{"a":'.repeat(size / 5),
      () => `[${'{},'.repeat(size / 3)}{}]`,
      () => `{${Array.from({ length: size / 10 }, (_, at) => `"k${at}":1`).join()}}`,
      () => `{"satellite_id":"${'\\u0041'.repeat(size / 6)}"}`,
      () => `{"storage_usage_mb":${'9'.repeat(size)}}`,
      () => ' '.repeat(size),
      () => '\n'.repeat(size),
      () => `[${'1,'.repeat(size / 2)}1]`
    ])())
  }

  private points (prefix: string): Field[][] {
    return Array.from({ length: this.chance(0.95) ? this.below(8) : this.below(100) }, () => this.fields(prefix))
  }

  private fields (prefix: string): Field[] {
    const fields: Field[] = [['satellite_id', this.id(prefix)], ['time', this.timeMs()]]
    for (const name of NAMES) if (this.chance(0.8)) fields.push([name, this.number()])
    if (this.oddly(0.05)) fields.push([this.pick(ODD_NAMES), this.number()])
    if (this.oddly(0.05)) fields.splice(this.below(fields.length), 1)
    if (this.chance(0.1)) fields.push(fields.shift() as Field)
    return fields
  }

  private frame (prefix: string): unknown[] {
    const rows = Array.from({ length: this.below(10) }, () => [
      this.id(prefix),
      this.chance(0.9) ? Number(this.timeMs()) * 1_000 : null,
      ...NAMES.slice(this.below(2)).map(() => this.number())
    ])
    const seq = !this.oddly(0.05) ? this.count++ : this.pick([0, 2 ** 53 - 1, 2 ** 53, -1, 1.5, null])
    const version = !this.oddly(0.02) ? 1 : this.pick([0, 2, -1, 255])
    const sender = `f${100 + this.below(50)}`
    const epoch = !this.oddly(0.02) ? 1 : this.pick([0, 2, 2 ** 53 - 1, NaN])
    return [version, sender, epoch, seq, rows]
  }

  private id (prefix: string): unknown {
    return !this.oddly(0.03) ? `${prefix}${this.below(3_000)}` : this.pick(ODD_IDS)
  }

  private timeMs (): unknown {
    if (this.oddly(0.05)) return this.pick(ODD_TIMES)
    const time = this.nowMs - this.below(1_000_000)
    return this.chance(0.1) ? new Date(time).toISOString() : time
  }

  private number (): unknown {
    if (this.oddly(0.05)) return this.pick(ODD_NUMBERS)
    return this.chance(0.3) ? this.below(1_000) : this.random.between(-1_000, 100_000)
  }

  private object (fields: readonly Field[]): Record<string, unknown> {
    return Object.fromEntries(fields)
  }

  /** With repeated fields, and values that are not JSON. */
  private jsonOf (fields: readonly Field[]): string {
    const members = fields.map(([name, value]) => {
      const colon = this.pick([':', ' : '])
      return JSON.stringify(name) + colon + (this.oddly(0.01) ? this.pick(ODD_TEXTS) : JSON.stringify(value))
    })
    if (this.chance(0.03)) members.push(members[this.below(members.length)] ?? '')
    return `{${members.join(',')}}`
  }

  private mutated (bytes: Buffer): Buffer {
    return this.chance(0.3) ? this.changeBytes(bytes) : bytes
  }

  /** Changes, removes, inserts or repeats some at random. */
  changeBytes (bytes: Buffer): Buffer {
    let changed = Buffer.from(bytes)
    do {
      const at = this.below(changed.length + 1)
      const length = this.below(8)
      switch (this.below(5)) {
        case 0: if (at < changed.length) changed[at] = this.below(256); break
        case 1: changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + length)]); break
        case 2:
          changed = Buffer.concat([changed.subarray(0, at), Buffer.from([this.below(256)]), changed.subarray(at)])
          break
        case 3: changed = Buffer.concat([changed.subarray(0, at), changed.subarray(Math.max(0, at - length))]); break
        case 4: changed = changed.subarray(0, at)
      }
    } while (this.chance(0.3))
    return changed
  }

  private below (bound: number): number {
    return Math.floor(this.random.unit() * bound)
  }

  private oddly (share: number): boolean {
    return this.isOdd && this.chance(share)
  }

  private chance (share: number): boolean {
    return this.random.unit() < share
  }

  private pick<T> (values: readonly T[]): T {
    return values[this.below(values.length)] as T
  }
}

function chunked (body: Buffer, extension: string): Buffer {
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}${extension}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
}
