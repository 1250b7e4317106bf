/** The catalogue of the server that a simulation sends to. */
import { BUILT_IN, type Catalogue } from '../../../protocol/catalogue.js'
import { STORED_BYTES_MAX, parseCatalogue } from '../../catalogue/catalogue-file.js'
import { askApi } from '../../sim/send/api-request.js'
import { apiBase, bearer } from '../../sim/send/bearer.js'
import { codeOf } from '../../sim/send/http-transport.js'
import { describeCause } from '../../sim/summary.js'

const TIMEOUT_MS = 10_000
const NOT_FOUND = 404

/** The catalogue in force on the server. A text: why there is none. */
export async function fetchCatalogue (url: URL, token: string | null): Promise<Catalogue | string> {
  const address = `${apiBase(url)}/catalogue`
  try {
    const { status, text } = await askApi(address, TIMEOUT_MS, bearer(token))
    // Servers of the first release have the built-in catalogue only.
    if (status === NOT_FOUND) return BUILT_IN
    if (status !== 200) return `${address} answers ${status}: ${text.trim()}`
    const parsed = parseCatalogue(text, STORED_BYTES_MAX)
    return parsed.ok ? parsed.catalogue : `${address} has a catalogue that this simulator does not understand`
  } catch (error) {
    return `${address} cannot be read: ${describeCause(codeOf(error))}`
  }
}
