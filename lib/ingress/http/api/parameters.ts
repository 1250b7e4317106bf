/** Parses query parameters; the error message names every problem. */
import { ECHO_MAX } from '../../../../protocol/names.js'
import { parseIsoTime } from '../../../../protocol/time.js'

export type Read<T> = { readonly ok: true, readonly value: T } | { readonly ok: false, readonly message: string }

/** 100,000 days from 1970, in the year 2243: still a safe integer. */
export const MICROS_MAX = 100_000 * 86_400e6
/** Wrong names that are listed: a query may have thousands. */
const NAMES_MAX = 10

export class Parameters {
  readonly problems: string[] = []
  private readonly values = new Map<string, string>()

  constructor (query: string, known: readonly string[]) {
    for (const [name, value] of new URLSearchParams(query)) {
      if (!known.includes(name)) {
        const shown = JSON.stringify(name.slice(0, ECHO_MAX))
        this.note(`unknown parameter ${shown}; known parameters are ${known.join(', ')}`)
      } else if (this.values.has(name)) {
        this.note(`${name} is given more than once`)
      } else {
        this.values.set(name, value)
      }
    }
  }

  has (name: string): boolean {
    return this.values.has(name)
  }

  private note (problem: string): void {
    if (this.problems.length < NAMES_MAX) this.problems.push(problem)
  }

  /** @param read returns null for an invalid value */
  get<T> (name: string, fallback: T, read: (text: string) => T | null, rule: string): T {
    const text = this.values.get(name)
    if (text === undefined) return fallback
    const value = read(text)
    if (value === null) this.problems.push(`${name} ${rule}`)
    return value ?? fallback
  }

  getCount (name: string, fallback: number, most: number): number {
    return this.get(name, fallback, wholeNumber(1, most), `must be a whole number from 1 to ${most}`)
  }

  /** Microseconds since 1970; null: not given. */
  getTime (name: string): number | null {
    return this.get(name, null, readTime, 'must be a time: ISO 8601 with a time zone, or milliseconds since 1970')
  }

  result<T> (value: T): Read<T> {
    return this.problems.length === 0 ? { ok: true, value } : { ok: false, message: `${this.problems.join('; ')}.` }
  }
}

export function isWhole (value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
}

function readTime (text: string): number | null {
  // The plus sign of a time zone arrives as a space if the client did not encode it.
  const isNumber = /^-?\d{1,15}(?:\.\d{1,9})?$/.test(text)
  const micros = isNumber ? Math.round(Number(text) * 1000) : parseIsoTime(text.replace(' ', '+'))
  return isWhole(micros, -MICROS_MAX, MICROS_MAX) ? micros : null
}

export function wholeNumber (least: number, most: number): (text: string) => number | null {
  return (text) => /^\d{1,16}$/.test(text) && isWhole(Number(text), least, most) ? Number(text) : null
}

export function oneOf (values: readonly string[]): (text: string) => string | null {
  return (text) => values.includes(text) ? text : null
}
