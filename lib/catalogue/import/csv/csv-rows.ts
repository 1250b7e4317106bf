/**
 * Rows of a CSV file by RFC 4180, and what spreadsheets make of it: cells separated by comma, semicolon, tab or |, a
 * first line `sep=;`, lines that end with CR, LF or both. Cells may be quoted, and then have line breaks and doubled
 * quotes. A quote within an unquoted cell is a character.
 */
import { ImportError } from '../imported.js'

/** Of a sheet; a catalogue has at most 250 metrics in use. */
const ROWS_MAX = 100_000
const CELLS_MAX = 1_000
/** In UTF-16 code units: a description has at most 500. */
const CELL_MAX = 64 * 1024
const DELIMITERS = [',', ';', '\t', '|'] as const

export interface CsvRow {
  /** Where it begins, from 1. */
  readonly line: number
  readonly cells: readonly string[]
}

export interface CsvTable {
  readonly delimiter: string
  /** Without those that are empty, or whose first cell begins with #. */
  readonly rows: readonly CsvRow[]
}

/** @throws {ImportError} a quote without an end, or too many rows or cells */
export function parseCsv (text: string): CsvTable {
  const declared = /^sep=(.)\r?\n/i.exec(text.slice(0, 16))
  const delimiter = declared?.[1] ?? delimiterOf(text)
  const reader = new CsvReader(text, delimiter)
  if (declared !== null) reader.skipLine()
  const rows: CsvRow[] = []
  while (!reader.isAtEnd) {
    const row = reader.readRow()
    const isEmpty = row.cells.every((cell) => cell.trim() === '')
    if (isEmpty || row.cells[0]?.trimStart().startsWith('#') === true) continue
    if (rows.length === ROWS_MAX) throw new ImportError(row.line, `has more than ${ROWS_MAX} rows`)
    rows.push(row)
  }
  return { delimiter, rows }
}

/** The one that the first line with any has most of, outside of quotes. */
function delimiterOf (text: string): string {
  const head = text.slice(0, 64 * 1024).replace(/"[^"]*"/g, '')
  const line = head.split(/[\r\n]+/).find((each) => !each.startsWith('#') && DELIMITERS.some((one) => each.includes(one)))
  const counts = DELIMITERS.map((one) => ({ one, count: (line ?? '').split(one).length }))
  return counts.reduce((best, each) => each.count > best.count ? each : best).one
}

class CsvReader {
  private at = 0
  private line = 1
  /** First character that ends an unquoted cell. */
  private readonly cellEnd: RegExp

  constructor (private readonly text: string, private readonly delimiter: string) {
    this.cellEnd = new RegExp(`[${delimiter.replace(/[\\\]^-]/, '\\$&')}\r\n]`, 'g')
  }

  get isAtEnd (): boolean {
    return this.at >= this.text.length
  }

  skipLine (): void {
    this.at = this.text.indexOf('\n') + 1
    this.line++
  }

  readRow (): CsvRow {
    const { line } = this
    const cells: string[] = []
    for (;;) {
      if (cells.length === CELLS_MAX) throw new ImportError(line, `has a row of more than ${CELLS_MAX} cells`)
      const cell = this.text[this.at] === '"' ? this.readQuoted() : this.readPlain()
      if (cell.length > CELL_MAX) throw new ImportError(line, `has a cell of more than ${CELL_MAX} characters`)
      cells.push(cell)
      if (this.text[this.at] !== this.delimiter) break
      this.at++
    }
    this.endLine()
    return { line, cells }
  }

  private readPlain (): string {
    this.cellEnd.lastIndex = this.at
    const end = this.cellEnd.exec(this.text)?.index ?? this.text.length
    const cell = this.text.slice(this.at, end)
    this.at = end
    return cell
  }

  /** What follows the closing quote belongs to the cell, too. */
  private readQuoted (): string {
    const parts: string[] = []
    const start = this.at
    let from = start + 1
    for (;;) {
      const quote = this.text.indexOf('"', from)
      if (quote === -1) throw new ImportError(this.line, 'has a quote that is never closed')
      parts.push(this.text.slice(from, quote))
      from = quote + 1
      if (this.text[from] !== '"') break
      parts.push('"')
      from++
    }
    const cell = parts.join('')
    this.line += this.text.slice(start, from).match(/\r\n|\r|\n/g)?.length ?? 0
    this.at = from
    return cell + this.readPlain()
  }

  private endLine (): void {
    if (this.isAtEnd) return
    this.at += this.text.startsWith('\r\n', this.at) ? 2 : 1
    this.line++
  }
}
