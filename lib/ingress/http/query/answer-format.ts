/** Content negotiation for answers that exist in several formats. */
import { entriesOf, qualityOf } from '../engines/header-quality.js'
import type { AnswerFormat } from '../api/status-port.js'

export const CONTENT_TYPES: Readonly<Record<AnswerFormat, string>> = {
  json: 'application/json',
  csv: 'text/csv; charset=utf-8',
  ndjson: 'application/x-ndjson'
}

const FORMATS: ReadonlyMap<string, AnswerFormat> = new Map([
  ['application/json', 'json'],
  ['text/csv', 'csv'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson']
])

/** The format that the client likes best; of several, the first it names. @param accept the header, '' if absent */
export function chooseFormat<F extends AnswerFormat> (accept: string, offered: readonly F[], fallback: F): F {
  let best = { format: fallback, quality: 0 }
  for (const [type, quality] of entriesOf(accept)) {
    const format = offered.find((each) => each === FORMATS.get(type))
    if (format !== undefined && quality > best.quality) best = { format, quality }
  }
  return best.format
}

export function acceptsGzip (acceptEncoding: string): boolean {
  return qualityOf(acceptEncoding, ['gzip']) > 0
}
