/** `catalogue import`: a catalogue out of a file of another system. */
import { writeFile } from 'node:fs/promises'
import { importCatalogue, type ImportFormat } from '../../../catalogue/import/import-catalogue.js'
import { readSource } from '../../../catalogue/import/source-text.js'
import { systemCode } from '../../../support/errors.js'
import type { Output } from '../../output.js'
import { counted, printable } from '../../table.js'

export interface ImportRequest {
  readonly file: string
  readonly format: ImportFormat
  /** Where to write the catalogue, which must not be there yet; undefined: standard output. */
  readonly out: string | undefined
  /** Streams of the source; empty: all. */
  readonly streams: readonly string[]
}

/** Remarks and the summary go to standard error, so that a catalogue on standard output can be piped. */
export async function importFile (
  { file, format, out, streams }: ImportRequest, { print, complain }: Output
): Promise<number> {
  const outcome = importCatalogue(await readSource(file), format, file, streams)
  for (const line of outcome.remarks.describe(file)) complain(printable(line))
  if (!outcome.ok) {
    for (const fault of outcome.faults) complain(`error: ${printable(fault)}`)
    return 2
  }
  const { yaml, metrics, remarks } = outcome
  if (out === undefined) print(yaml.trimEnd())
  else {
    try {
      await writeFile(out, yaml, { flag: 'wx' })
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error
      complain(`error: ${out} already exists; choose another name`)
      return 1
    }
  }
  complain(`${out ?? 'The catalogue'} has ${counted(metrics, 'metric')} in ${counted(outcome.streams, 'stream')}; ` +
    `${counted(remarks.count('left out'), 'thing')} left out, ${remarks.count('changed')} changed.`)
  return 0
}
