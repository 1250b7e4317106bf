/** Values as text for a terminal. */

/** A character that a terminal would act on, or that would break a line. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}]/gu

/** Text of others, such as ids of satellites, with characters that a terminal would act on written as \u001b. */
export function printable (text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Rows of as many columns as the first one has, aligned; numbers to the right, with thousands apart. */
export function table (rows: ReadonlyArray<ReadonlyArray<string | number>>): string {
  const texts = rows.map((row) => row.map((cell) => typeof cell === 'number' ? cell.toLocaleString('en-US') : printable(cell)))
  const columns = (texts[0] ?? []).map((_, column) => ({
    width: Math.max(...texts.map((row) => row[column]?.length ?? 0)),
    right: rows.some((row) => typeof row[column] === 'number')
  }))
  return texts.map((row) => columns.map(({ width, right }, column) => right ? (row[column] ?? '').padStart(width) : (row[column] ?? '').padEnd(width)).join('  ').trimEnd()).join('\n')
}

/** "1 row", "2,000 rows". */
export function counted (number: number, noun: string): string {
  return `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`
}
