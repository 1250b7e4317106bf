/**
 * Values as people write them in variables and flags: durations, sizes, numbers, choices, addresses.
 *
 * A SettingType converts text to a value, or to a message that says what is allowed, and a value back to its shortest
 * text: parse(format(value)) is the value. Messages never contain the text of a `url` or `list`, which may be secret.
 */
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { distance } from 'fastest-levenshtein'

export type Parsed<T> = { readonly ok: true, readonly value: T } | { readonly ok: false, readonly message: string }

export interface SettingType<T> {
  /** Name of the type, as shown in help: `<duration>`. */
  readonly name: string
  /** What is allowed, in Markdown. */
  readonly allowed: string
  parse (text: string): Parsed<T>
  format (value: T): string
}

export type DurationUnit = 'ms' | 's' | 'm' | 'h' | 'd'

interface Unit {
  readonly suffix: string
  readonly factor: number
}

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

/** Largest first. */
const DURATION_UNITS: readonly Unit[] = [
  { suffix: 'd', factor: DAY_MS },
  { suffix: 'h', factor: HOUR_MS },
  { suffix: 'm', factor: 60_000 },
  { suffix: 's', factor: 1000 },
  { suffix: 'ms', factor: 1 }
]

const SIZE_UNITS: readonly Unit[] = [
  { suffix: 'TB', factor: 1024 ** 4 },
  { suffix: 'GB', factor: 1024 ** 3 },
  { suffix: 'MB', factor: 1024 ** 2 },
  { suffix: 'KB', factor: 1024 },
  { suffix: 'B', factor: 1 }
]

const QUANTITY = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/

function good<T> (value: T): Parsed<T> {
  return { ok: true, value }
}

function bad (message: string): { readonly ok: false, readonly message: string } {
  return { ok: false, message }
}

function parseQuantity (text: string, factorOf: (suffix: string) => number | undefined): number | null {
  const match = QUANTITY.exec(text.trim())
  const factor = match === null ? undefined : factorOf(match[2] ?? '')
  if (match === null || factor === undefined) return null
  const value = Math.round(Number(match[1]) * factor)
  return Number.isSafeInteger(value) ? value : null
}

function formatQuantity (value: number, units: readonly Unit[]): string {
  const unit = value === 0 ? units.at(-1) : units.find(({ factor }) => value % factor === 0)
  return unit === undefined ? String(value) : `${value / unit.factor}${unit.suffix}`
}

/**
 * Milliseconds in `250ms`, `1s`, `5m`, `2h`, `30d`. Null: not a duration.
 *
 * @param bareUnit unit of a number without one
 */
export function parseDuration (text: string, bareUnit: DurationUnit = 'ms'): number | null {
  return parseQuantity(text, suffix =>
    DURATION_UNITS.find(unit => unit.suffix === (suffix === '' ? bareUnit : suffix))?.factor)
}

/** @param ms a non-negative integer */
export function formatDuration (ms: number): string {
  return formatQuantity(ms, DURATION_UNITS)
}

/** Bytes in `64MB`, `1GB` (powers of 1024; `MiB` and lower case too); a bare number is bytes. Null: not a size. */
export function parseSize (text: string): number | null {
  return parseQuantity(text, suffix => {
    const plain = suffix.toUpperCase().replace(/^([KMGT])I?B?$/, '$1B')
    return plain === '' ? 1 : SIZE_UNITS.find(unit => unit.suffix === plain)?.factor
  })
}

/** @param bytes a non-negative integer */
export function formatSize (bytes: number): string {
  return formatQuantity(bytes, SIZE_UNITS)
}

/** A number with thousands separators: 1,234. */
export function formatCount (value: number): string {
  return value.toLocaleString('en-US')
}

/**
 * The known word that was probably meant, or null if none is close.
 *
 * @param editsMax maximum edit distance; default: a third of the word, and at least two edits unless it is very short
 */
export function nearest (word: string, known: readonly string[], editsMax = word.length < 4
  ? 1
  : Math.max(2, Math.floor(word.length / 3))): string | null {
  let best: string | null = null
  let bestEdits = editsMax + 1
  for (const candidate of known) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase())
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits]
  }
  return best
}

export interface Range {
  readonly min?: number | undefined
  readonly max?: number | undefined
}

function rangeText ({ min, max }: Range, format: (value: number) => string): string {
  if (min !== undefined && max !== undefined) return `from ${format(min)} to ${format(max)}`
  if (min !== undefined) return `${format(min)} or more`
  return max === undefined ? '' : `${format(max)} or less`
}

function ranged (
  name: string,
  hint: string,
  range: Range,
  read: (text: string) => number | null,
  format: (value: number) => string
): SettingType<number> {
  const limits = rangeText(range, format)
  const allowed = limits === '' ? hint : limits
  return {
    name,
    allowed,
    format,
    parse (text) {
      const value = read(text)
      if (value === null) return bad(`"${text}" is not ${hint}${limits === '' ? '' : ` (${limits})`}`)
      if (value < (range.min ?? -Infinity) || value > (range.max ?? Infinity)) {
        return bad(`${format(value)} is out of range: ${limits}`)
      }
      return good(value)
    }
  }
}

export function integer (range: Range = {}): SettingType<number> {
  return ranged('integer', 'a whole number', range, text => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN
    return Number.isSafeInteger(value) ? value : null
  }, String)
}

export function decimal (range: Range = {}): SettingType<number> {
  return ranged('number', 'a number', range, text => {
    const value = text.trim() === '' ? NaN : Number(text)
    return Number.isFinite(value) ? value : null
  }, String)
}

/**
 * @param range in milliseconds
 * @param bareUnit unit of a number without one
 */
export function duration (range: Range = {}, bareUnit: DurationUnit = 'ms'): SettingType<number> {
  return ranged('duration', 'a duration such as 250ms, 1s, 5m, 2h or 30d', range, text =>
    parseDuration(text, bareUnit), formatDuration)
}

/** @param range in bytes */
export function size (range: Range = {}): SettingType<number> {
  return ranged('size', 'a size such as 512KB, 64MB or 1GB', range, parseSize, formatSize)
}

export function oneOf<const T extends string> (values: readonly T[]): SettingType<T> {
  return {
    name: values.join('|'),
    allowed: values.map(value => `\`${value}\``).join(', '),
    format: String,
    parse (text) {
      const value = values.find(candidate => candidate === text)
      if (value !== undefined) return good(value)
      const meant = nearest(text, values, 2)
      return bad(`"${text}" is not one of ${values.join(', ')}${meant === null ? '' : `; did you mean ${meant}?`}`)
    }
  }
}

/** Any non-empty text. */
export function string (): SettingType<string> {
  return {
    name: 'text',
    allowed: 'text',
    format: String,
    parse: text => text === '' ? bad('must not be empty') : good(text)
  }
}

/** An address to listen on: IPv4, IPv6 or a host name. */
export function host (): SettingType<string> {
  return {
    name: 'address',
    allowed: 'an IP address or host name',
    format: String,
    parse: text => isIP(text) !== 0 || /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(text)
      ? good(text)
      : bad(`"${text}" is not an IP address or host name`)
  }
}

/** Resolved against the working directory. */
export function path (): SettingType<string> {
  return {
    name: 'path',
    allowed: 'a directory',
    format: String,
    parse: text => text === '' || text.includes('\0') ? bad('is not a path') : good(resolve(text))
  }
}

/** As path(), for a file. */
export function file (): SettingType<string | null> {
  const any = path()
  return { ...any, allowed: 'a file', format: text => text ?? '' }
}

/** A directory, or `off`. */
export function pathOrOff (): SettingType<string> {
  const directory = path()
  return {
    ...directory,
    allowed: 'a directory, or `off`',
    parse: text => text === 'off' ? good(text) : directory.parse(text)
  }
}

/** @param schemes without the colon, as in `postgres` */
export function url (schemes: readonly string[]): SettingType<string> {
  const shown = schemes.map(scheme => `${scheme}://`).join(' or ')
  return {
    name: 'url',
    allowed: `a URL that begins with ${shown}`,
    format: String,
    parse (text) {
      if (!schemes.some(scheme => text.startsWith(`${scheme}://`))) return bad(`must begin with ${shown}`)
      return URL.canParse(text)
        ? good(text)
        : bad('is not a valid URL; special characters in the password must be percent-encoded')
    }
  }
}

/** A password or similar secret: printable ASCII, which every client and server encodes identically. */
export function secret (lengthMin: number): SettingType<string | null> {
  return {
    name: 'text',
    allowed: `${lengthMin} or more printable ASCII characters`,
    format: text => text ?? '',
    parse (text) {
      if (!/^[ -~]*$/.test(text)) return bad('contains non-ASCII or control characters')
      return text.length >= lengthMin
        ? good(text)
        : bad(`has ${text.length} characters; at least ${lengthMin} are required`)
    }
  }
}

/** Comma-separated texts, each at least `lengthMin` characters long. */
export function list (lengthMin: number): SettingType<readonly string[]> {
  return {
    name: 'list',
    allowed: `comma-separated texts of at least ${lengthMin} characters`,
    format: items => items.join(','),
    parse (text) {
      const items = text.split(',').map(item => item.trim())
      const short = items.findIndex(item => item.length < lengthMin)
      if (short === -1) return good(Object.freeze(items))
      return bad(`entry ${short + 1} has ${items[short]?.length ?? 0} characters; at least ${lengthMin} are required`)
    }
  }
}

/** Comma-separated origins as browsers send them (RFC 6454): scheme, host, and the port unless it is the default. */
export function origins (): SettingType<readonly string[]> {
  return {
    name: 'list',
    allowed: 'comma-separated origins such as https://console.example',
    format: items => items.join(','),
    parse (text) {
      const items = text.split(',').map(item => item.trim().toLowerCase())
      const wrong = items.find(item => !URL.canParse(item) || new URL(item).origin !== item)
      return wrong === undefined
        ? good(Object.freeze(items))
        : bad(`"${wrong}" is not an origin such as https://console.example`)
    }
  }
}

/** A whole number, or `off` for none. */
export function integerOrOff (range: Range): SettingType<number | null> {
  const number = integer(range)
  return {
    ...number,
    allowed: `${number.allowed}, or \`off\``,
    format: value => value === null ? 'off' : String(value),
    parse: text => text === 'off' ? good(null) : number.parse(text)
  }
}

/** Comma-separated IP addresses, and networks in CIDR notation. */
export function networks (): SettingType<readonly string[]> {
  return {
    name: 'list',
    allowed: 'comma-separated addresses and networks such as 10.0.0.0/8',
    format: items => items.join(','),
    parse (text) {
      const items = text.split(',').map(item => item.trim())
      const wrong = items.find(item => !isNetwork(item))
      return wrong === undefined
        ? good(Object.freeze(items))
        : bad(`"${wrong}" is neither an IP address nor a network such as 10.0.0.0/8`)
    }
  }
}

function isNetwork (text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** Comma-separated UDP or TCP ports, or `off` for none; 0 picks a free one. */
export function ports (countMax: number): SettingType<readonly number[]> {
  const port = integer({ min: 0, max: 65_535 })
  return {
    name: 'ports',
    allowed: `up to ${countMax} comma-separated ports, or \`off\``,
    format: numbers => numbers.length === 0 ? 'off' : numbers.join(','),
    parse (text) {
      if (text === 'off') return good(Object.freeze([]))
      const parsed = text.split(',').map(item => port.parse(item.trim()))
      const numbers = parsed.flatMap(each => each.ok ? [each.value] : [])
      const problem = parsed.find(each => !each.ok)
      if (problem?.ok === false) return problem
      if (numbers.length > countMax) return bad(`has ${numbers.length} ports; at most ${countMax} are allowed`)
      const twice = numbers.find((number, index) => number !== 0 && numbers.indexOf(number) !== index)
      return twice === undefined ? good(Object.freeze(numbers)) : bad(`contains port ${twice} twice`)
    }
  }
}
