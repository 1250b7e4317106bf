/** Values as text for a terminal. */
import { formatCount } from '../config/setting-types.js'

/** Characters that would control the terminal or break a line. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/gu

/** Untrusted text, such as satellite IDs, with control characters escaped as \u001b. */
export function printable (text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Aligned rows with as many columns as the first; numbers are right-aligned, with thousands separators. */
export function table (rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  const texts = rows.map((row) =>
    row.map((cell) => typeof cell === 'number' ? formatCount(cell) : printable(cell)))
  const columns = (texts[0] ?? []).map((_, column) => ({
    width: Math.max(...texts.map((row) => row[column]?.length ?? 0)),
    right: rows.some((row) => typeof row[column] === 'number')
  }))
  const line = (row: readonly string[]): string => columns
    .map(({ width, right }, column) => right ? row[column]?.padStart(width) : row[column]?.padEnd(width))
    .join('  ')
    .trimEnd()
  return texts.map(line).join('\n')
}

/** "1 row", "2,000 rows". */
export function counted (number: number, noun: string): string {
  return `${formatCount(number)} ${noun}${number === 1 ? '' : 's'}`
}
