/** Answers as rows: CSV (RFC 4180, with a header) and NDJSON. */
import { CONTENT_TYPES } from '../../ingress/http/query/answer-format.js'
import type { StatusAnswer } from '../../ingress/http/api/status-port.js'

type Cell = string | number | boolean | null

export interface Rows {
  readonly columns: readonly string[]
  readonly rows: ReadonlyArray<readonly Cell[]>
}

export function rowsAnswer (format: 'csv' | 'ndjson', { columns, rows }: Rows): StatusAnswer {
  const lines = format === 'csv'
    ? [columns, ...rows].map((row) => row.map(csvField).join(','))
    : rows.map((row) => JSON.stringify(Object.fromEntries(columns.map((column, index) => [column, row[index]]))))
  return { status: 200, contentType: CONTENT_TYPES[format], body: lines.map((line) => `${line}\n`).join('') }
}

/** A missing value is an empty field, as is NULL in COPY. */
function csvField (value: Cell): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : ''
  if (typeof value === 'boolean') return String(value)
  if (value === null) return ''
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}
