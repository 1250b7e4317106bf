/**
 * Makes a catalogue of a file that describes telemetry elsewhere: a sheet, a COSMOS definition, an XTCE database.
 *
 *   bytes ─▶ text ─▶ streams of metrics in the source's words ─▶ place(): stream, name, id ─▶ entries ─▶ YAML
 *
 * Files come from anywhere, so each step has bounds, and nothing in a file names other files or runs. What cannot be
 * taken over is in the remarks. The catalogue is checked as if somebody had written it.
 */
import { stringify } from 'yaml'
import { describeFault, parseCatalogue } from '../catalogue-file.js'
import { FORM } from '../catalogue-json.js'
import { TITLE_MAX } from '../metric-reader.js'
import { readCosmos } from './cosmos/cosmos.js'
import { readCsv } from './csv/csv.js'
import { ImportError, type ImportedStream } from './imported.js'
import { entryOf } from './metric-entry.js'
import { plainText } from './derived-names.js'
import { place } from './placing.js'
import { Remarks } from './remarks.js'
import { SOURCE_BYTES_MAX, decodeSource } from './source-text.js'
import { StreamFilter } from './stream-filter.js'
import { readXtce } from './xtce/xtce.js'

export const IMPORT_FORMATS = ['csv', 'cosmos', 'xtce'] as const
export type ImportFormat = typeof IMPORT_FORMATS[number]

type Reader = (text: string, remarks: Remarks, filter: StreamFilter) => ImportedStream[]
const READERS: Readonly<Record<ImportFormat, Reader>> = { csv: readCsv, cosmos: readCosmos, xtce: readXtce }
const LINE_WIDTH = 120

/** Remarks may explain the faults: why nothing is left, for example. */
export type ImportOutcome = { readonly remarks: Remarks } & (
  | { readonly ok: true, readonly yaml: string, readonly metrics: number, readonly streams: number }
  /** As compilers print them: FILE:LINE: message. */
  | { readonly ok: false, readonly faults: readonly string[] }
)

/**
 * @param file its name, for messages and the head of the catalogue
 * @param only names of streams of the source; empty: all
 */
export function importCatalogue (
  bytes: Uint8Array, format: ImportFormat, file: string, only: readonly string[] = []
): ImportOutcome {
  const remarks = new Remarks()
  try {
    if (bytes.length > SOURCE_BYTES_MAX) throw new ImportError(null, `has more than ${SOURCE_BYTES_MAX} bytes`)
    const filter = new StreamFilter(only)
    const streams = READERS[format](decodeSource(bytes, remarks), remarks, filter)
    filter.check()
    const placed = place(streams, remarks)
    const yaml = yamlOf(placed, remarks, file)
    const parsed = parseCatalogue(yaml)
    if (!parsed.ok) {
      const faults = parsed.faults.map((fault) => describeFault('the catalogue made of it', fault))
      return { ok: false, faults, remarks }
    }
    const metrics = parsed.catalogue.streams.reduce((sum, stream) => sum + stream.metrics.length, 0)
    return { ok: true, yaml, metrics, streams: placed.size, remarks }
  } catch (error) {
    if (!(error instanceof ImportError)) throw error
    return { ok: false, faults: [`${file}${error.line === null ? '' : `:${error.line}`}: ${error.message}`], remarks }
  }
}

function yamlOf (placed: ReturnType<typeof place>, remarks: Remarks, file: string): string {
  const streams = Object.fromEntries([...placed].map(([name, { id, title, metrics }]) => [name, {
    id,
    ...placed.size === 1 ? {} : { title: plainText(title, TITLE_MAX) },
    metrics: Object.fromEntries(metrics.map((each) => [each.name, entryOf(each, remarks)]))
  }]))
  const source = file.replace(/^.*[/\\]/, '').replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ')
  return `# Imported from ${source}. Ids are for good: from now on, edit this file instead of importing again.\n` +
    stringify({ catalogue: FORM, streams }, { lineWidth: LINE_WIDTH })
}
