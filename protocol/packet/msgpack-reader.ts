/**
 * A cursor over msgpack bytes that reads only the types of the packet format, without creating objects.
 *
 * Source of the encoding: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 *   00–7f  positive fixint     c0     nil               cc cd ce cf  uint 8 16 32 64     dc dd  array 16 32
 *   80–8f  fixmap              c1     never used        d0 d1 d2 d3  int 8 16 32 64      de df  map 16 32
 *   90–9f  fixarray            c2 c3  false, true       d4–d8        fixext
 *   a0–bf  fixstr              c4–c9  bin, ext          d9 da db     str 8 16 32
 *   e0–ff  negative fixint     ca cb  float 32 64
 *
 * Promises: nothing reads past the end, throws or recurses, and no claimed length is trusted before that many bytes are
 * there. After a failed read the position is undefined: the caller resets `at` to an earlier one, and skip() tells
 * whether there is valid msgpack.
 */

/** Returned for anything that is not a number of the format. Never a valid number, since those are finite. */
export const NOT_A_NUMBER = Infinity
/** Returned instead of a length for a value of another type than expected. */
export const OTHER_TYPE = -1

/**
 * Values that skip() steps over per body, nested ones included. A body with the maximum of points and ten fields each
 * has 210,000. A value may be a single byte, and takes ten nanoseconds or more.
 */
export const SKIPPED_MAX = 500_000

const TWO_32 = 4_294_967_296
const NIL = 0xc0
const TRUE = 0xc3

/** The kind of the value at the cursor. */
export type ValueKind = 'end' | 'nil' | 'boolean' | 'number' | 'text' | 'array' | 'map' | 'other'

/** Bytes of a value without its content, by its first byte; 0: not the first byte of a value. */
const HEAD_BYTES = new Uint8Array(256).fill(1)
/** Size of the length field of bin, ext and str, by the first byte. */
const LENGTH_BYTES = new Uint8Array(256)

for (const [first, bytes] of [
  [0xc1, 0],
  [0xc4, 2], [0xc5, 3], [0xc6, 5], [0xc7, 3], [0xc8, 4], [0xc9, 6], [0xca, 5], [0xcb, 9],
  [0xcc, 2], [0xcd, 3], [0xce, 5], [0xcf, 9], [0xd0, 2], [0xd1, 3], [0xd2, 5], [0xd3, 9],
  [0xd4, 3], [0xd5, 4], [0xd6, 6], [0xd7, 10], [0xd8, 18], [0xd9, 2], [0xda, 3], [0xdb, 5],
  [0xdc, 3], [0xdd, 5], [0xde, 3], [0xdf, 5]
] as const) HEAD_BYTES[first] = bytes
for (const [first, bytes] of [
  [0xc4, 1], [0xc5, 2], [0xc6, 4], [0xc7, 1], [0xc8, 2], [0xc9, 4], [0xd9, 1], [0xda, 2], [0xdb, 4]
] as const) LENGTH_BYTES[first] = bytes

export class MsgpackReader {
  bytes: Buffer = Buffer.alloc(0)
  /** Position of the next byte. */
  at = 0
  /** Values that skip() may still step over; negative once it has failed because of that. */
  left = SKIPPED_MAX
  private view: DataView = new DataView(new ArrayBuffer(0))

  reset (bytes: Buffer): void {
    this.bytes = bytes
    this.at = 0
    this.left = SKIPPED_MAX
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** The kind of the value at the cursor, which does not move. */
  peek (): ValueKind {
    if (this.at >= this.bytes.length) return 'end'
    const first = this.view.getUint8(this.at)
    if (first < 0x80 || first >= 0xe0 || (first >= 0xca && first <= 0xd3)) return 'number'
    if (first < 0x90) return 'map'
    if (first < 0xa0) return 'array'
    if (first < 0xc0) return 'text'
    if (first === NIL) return 'nil'
    if (first === 0xc2 || first === 0xc3) return 'boolean'
    if (first >= 0xd9 && first <= 0xdb) return 'text'
    if (first === 0xdc || first === 0xdd) return 'array'
    return first >= 0xde ? 'map' : 'other'
  }

  /** Steps over a nil, if there is one. */
  takeNil (): boolean {
    if (this.at >= this.bytes.length || this.view.getUint8(this.at) !== NIL) return false
    this.at++
    return true
  }

  /** The boolean at the cursor, where peek() has found one. */
  readBoolean (): boolean {
    return this.view.getUint8(this.at++) === TRUE
  }

  /** Any finite int or float, integers beyond 2^53 as the nearest double; NOT_A_NUMBER for anything else. */
  readNumber (): number {
    const at = this.at
    const left = this.bytes.length - at
    if (left < 1) return NOT_A_NUMBER
    const view = this.view
    const first = view.getUint8(at)
    if (first === 0xcb && left >= 9) {
      this.at = at + 9
      const value = view.getFloat64(at + 1)
      // NaN and infinities give NaN here.
      return value - value === 0 ? value : NOT_A_NUMBER
    }
    if (first === 0xca && left >= 5) {
      this.at = at + 5
      const value = view.getFloat32(at + 1)
      return value - value === 0 ? value : NOT_A_NUMBER
    }
    return this.readInteger()
  }

  /**
   * An integer: any int, or a float64 with an integer value, since some languages have no other numbers. NOT_A_NUMBER
   * for anything else.
   */
  readWhole (): number {
    const at = this.at
    if (this.bytes.length - at >= 9 && this.view.getUint8(at) === 0xcb) {
      this.at = at + 9
      const value = this.view.getFloat64(at + 1)
      return Number.isInteger(value) ? value : NOT_A_NUMBER
    }
    return this.readInteger()
  }

  /** Any int, beyond 2^53 as the nearest double; NOT_A_NUMBER for anything else. */
  readInteger (): number {
    const at = this.at
    const left = this.bytes.length - at
    if (left < 1) return NOT_A_NUMBER
    const view = this.view
    const first = view.getUint8(at)
    if (first < 0x80 || first >= 0xe0) {
      this.at = at + 1
      return first < 0x80 ? first : first - 256
    }
    if (first < 0xcc || first > 0xd3) return NOT_A_NUMBER
    const size = 1 << (first & 3)
    if (left < 1 + size) return NOT_A_NUMBER
    this.at = at + 1 + size
    switch (first) {
      case 0xcc: return view.getUint8(at + 1)
      case 0xcd: return view.getUint16(at + 1)
      case 0xce: return view.getUint32(at + 1)
      // Two halves: exact up to 2^53, then rounded once.
      case 0xcf: return view.getUint32(at + 1) * TWO_32 + view.getUint32(at + 5)
      case 0xd0: return view.getInt8(at + 1)
      case 0xd1: return view.getInt16(at + 1)
      case 0xd2: return view.getInt32(at + 1)
      default: return view.getInt32(at + 1) * TWO_32 + view.getUint32(at + 5)
    }
  }

  /** Number of elements of the array at the cursor, which moves to the first. OTHER_TYPE for anything else. */
  readArrayLength (): number {
    return this.readLength(0x90, 0x0f, 0xdc, 0xdd, 0)
  }

  /** Number of pairs of the map at the cursor, which moves to the first key. OTHER_TYPE for anything else. */
  readMapLength (): number {
    return this.readLength(0x80, 0x0f, 0xde, 0xdf, 0)
  }

  /** Bytes of the text at the cursor, which moves to the first. OTHER_TYPE for anything else, or if truncated. */
  readTextLength (): number {
    const length = this.readLength(0xa0, 0x1f, 0xda, 0xdb, 0xd9)
    return length > this.bytes.length - this.at ? OTHER_TYPE : length
  }

  /** Reads a length: a short one in the first byte, or 16, 32 or (text only) 8 bits after it. */
  private readLength (fix: number, mask: number, first16: number, first32: number, first8: number): number {
    const at = this.at
    const left = this.bytes.length - at
    if (left < 1) return OTHER_TYPE
    const first = this.view.getUint8(at)
    if ((first & ~mask) === fix) {
      this.at = at + 1
      return first & mask
    }
    if (first === first16 && left >= 3) {
      this.at = at + 3
      return this.view.getUint16(at + 1)
    }
    if (first === first32 && left >= 5) {
      this.at = at + 5
      return this.view.getUint32(at + 1)
    }
    if (first === first8 && first8 !== 0 && left >= 2) {
      this.at = at + 2
      return this.view.getUint8(at + 1)
    }
    return OTHER_TYPE
  }

  /** Steps over a value of any msgpack type and depth. False: it is truncated, not msgpack, or has too many values. */
  skip (): boolean {
    const end = this.bytes.length
    // Counts pending values, instead of keeping a stack.
    for (let pending = 1; pending > 0; pending--) {
      if (this.at >= end || --this.left < 0) return false
      const first = this.view.getUint8(this.at)
      const head = HEAD_BYTES[first] ?? 0
      if (head === 0 || head > end - this.at) return false
      const content = this.contentBytes(first)
      pending += this.children(first)
      this.at += head + content
      if (this.at > end) return false
    }
    return true
  }

  private contentBytes (first: number): number {
    if (first >= 0xa0 && first < 0xc0) return first & 0x1f
    switch (LENGTH_BYTES[first]) {
      case 1: return this.view.getUint8(this.at + 1)
      case 2: return this.view.getUint16(this.at + 1)
      case 4: return this.view.getUint32(this.at + 1)
      default: return 0
    }
  }

  private children (first: number): number {
    if (first >= 0x80 && first < 0x90) return 2 * (first & 0x0f)
    if (first >= 0x90 && first < 0xa0) return first & 0x0f
    switch (first) {
      case 0xdc: return this.view.getUint16(this.at + 1)
      case 0xdd: return this.view.getUint32(this.at + 1)
      case 0xde: return 2 * this.view.getUint16(this.at + 1)
      case 0xdf: return 2 * this.view.getUint32(this.at + 1)
      default: return 0
    }
  }
}
