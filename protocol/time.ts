/**
 * Times as text: ISO 8601 in the extended format, always with a zone, parsed without Date.
 *
 *   YYYY-MM-DDThh:mm[:ss[.f…]](Z|±hh:mm)
 *
 * T and Z in either case, as in RFC 3339. The day must exist in the Gregorian calendar. Hours go up to 23, minutes and
 * seconds to 59, so 24:00 and leap seconds are invalid. A fraction may have any number of digits, and is truncated to
 * microseconds. Both JSON paths and packets use this parser, so they cannot disagree.
 */

const ZERO = 0x30
const PLUS = 0x2b
const MINUS = 0x2d
const DOT = 0x2e
const COLON = 0x3a
const LOWER_T = 0x74
const LOWER_Z = 0x7a
/** Set in a lower-case letter, clear in its upper case. */
const CASE_BIT = 0x20

/** Longest text that parseIsoTime accepts. */
const TEXT_BYTES_MAX = 64
const FRACTION_DIGITS = 6

/** Days of a year before month m (from 1), and at 13 of the whole year, without the leap day. */
const DAYS_BEFORE_MONTH = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]
/** Days from 0001-01-01 to 1970-01-01. */
const DAYS_TO_EPOCH = 719_162

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9

const isZulu = (byte: number | undefined): boolean => ((byte ?? 0) | CASE_BIT) === LOWER_Z

/** The value of two digits; over 99 if they are not digits. */
function twoDigits (bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] ?? 0) - ZERO
  const ones = (bytes[at + 1] ?? 0) - ZERO
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : 100
}

/** Not a day and not a zone: out of range for a year of four digits. */
const NO_DAY = -1e9
const NO_ZONE = 1e6

/** Days since 1970-01-01; NO_DAY if the day does not exist. */
function epochDays (year: number, month: number, day: number): number {
  if (month < 1 || month > 12 || day < 1) return NO_DAY
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0
  const before = (DAYS_BEFORE_MONTH[month] ?? 0) + (month > 2 ? leap : 0)
  const next = (DAYS_BEFORE_MONTH[month + 1] ?? 0) + (month > 1 ? leap : 0)
  if (before + day > next) return NO_DAY
  const past = year - 1
  const leapDays = Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400)
  return past * 365 + leapDays + before + day - 1 - DAYS_TO_EPOCH
}

/**
 * Reads the time at bytes[at] into out[slot], as µs since 1970-01-01 UTC, and returns the position after it, or -1 if
 * there is none. The result is passed in `out` because returning a number of this size would allocate it on the heap.
 */
export function readIsoTime (bytes: Uint8Array, at: number, out: Float64Array, slot: number): number {
  const century = twoDigits(bytes, at)
  const yearOfCentury = twoDigits(bytes, at + 2)
  const hours = twoDigits(bytes, at + 11)
  const minutes = twoDigits(bytes, at + 14)
  if (century > 99 || yearOfCentury > 99 || hours > 23 || minutes > 59) return -1
  if (bytes[at + 4] !== MINUS || bytes[at + 7] !== MINUS) return -1
  if (((bytes[at + 10] ?? 0) | CASE_BIT) !== LOWER_T || bytes[at + 13] !== COLON) return -1
  const days = epochDays(century * 100 + yearOfCentury, twoDigits(bytes, at + 5), twoDigits(bytes, at + 8))
  if (days === NO_DAY) return -1
  let next = at + 16
  let seconds = 0
  let micros = 0
  if (bytes[next] === COLON) {
    seconds = twoDigits(bytes, next + 1)
    if (seconds > 59) return -1
    next += 3
    if (bytes[next] === DOT) {
      const first = ++next
      let byte = bytes[next] ?? 0
      while (isDigit(byte)) {
        if (next - first < FRACTION_DIGITS) micros = micros * 10 + byte - ZERO
        byte = bytes[++next] ?? 0
      }
      if (next === first) return -1
      for (let digits = next - first; digits < FRACTION_DIGITS; digits++) micros *= 10
    }
  }
  const offset = zoneMinutes(bytes, next)
  if (offset === NO_ZONE) return -1
  out[slot] = (days * 86_400 + hours * 3_600 + (minutes - offset) * 60 + seconds) * 1e6 + micros
  return next + (isZulu(bytes[next]) ? 1 : 6)
}

/** Offset of the zone at bytes[at] from UTC, in minutes; NO_ZONE if there is none. */
function zoneMinutes (bytes: Uint8Array, at: number): number {
  const sign = bytes[at]
  if (isZulu(sign)) return 0
  if (sign !== PLUS && sign !== MINUS) return NO_ZONE
  const hours = twoDigits(bytes, at + 1)
  const minutes = twoDigits(bytes, at + 4)
  if (hours > 23 || minutes > 59 || bytes[at + 3] !== COLON) return NO_ZONE
  return (sign === PLUS ? 1 : -1) * (hours * 60 + minutes)
}

const text = Buffer.alloc(TEXT_BYTES_MAX + 4)
const result = new Float64Array(1)

/** µs since 1970-01-01 UTC; NaN if the string is not in the format at the head of this file. */
export function parseIsoTime (time: string): number {
  if (time.length > TEXT_BYTES_MAX) return NaN
  const length = text.write(time, 'utf8')
  text[length] = 0
  return readIsoTime(text, 0, result, 0) === length ? result[0] ?? NaN : NaN
}

/**
 * µs since 1970-01-01 UTC of a number of milliseconds; not finite if the number or the result is not.
 *
 * Truncates to microseconds, like text: the result is the latest microsecond that, in milliseconds, is not greater than
 * the number. Truncating value * 1000 would be wrong: it is 0.4 µs too small for many numbers with three decimals.
 */
export function microsOfMillis (value: number): number {
  const nearest = Math.round(value * 1000)
  // + 0 avoids -0.
  return (nearest / 1000 > value ? nearest - 1 : nearest) + 0
}
