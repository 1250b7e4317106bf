/** The catalogue file that the configuration names, for commands that put it into force. */
import type { Catalogue } from '../../../../protocol/catalogue.js'
import { describeFault, readCatalogueFile } from '../../../catalogue/catalogue-file.js'
import type { Config } from '../../../config/settings.js'
import { printable } from '../../table.js'

/** Null: no file is configured. Undefined: it has faults, and each has been printed. */
export async function readProposed (
  { catalogue: path }: Pick<Config, 'catalogue'>, complain: (text: string) => void
): Promise<Catalogue | null | undefined> {
  if (path === null) return null
  const read = await readCatalogueFile(path)
  if (read.ok) return read.catalogue
  for (const fault of read.faults) complain(`error: ${printable(describeFault(path, fault))}`)
  return undefined
}
