/** The catalogue of the server that a simulation sends to. */
import { text as readAll } from 'node:stream/consumers'
import { request } from 'undici'
import { BUILT_IN, type Catalogue } from '../../../protocol/catalogue.js'
import { parseCatalogue } from '../../catalogue/catalogue-file.js'
import { bearer } from '../../sim/send/bearer.js'

const TIMEOUT_MS = 10_000
const NOT_FOUND = 404

/** The catalogue in force on the server. A text: why there is none. */
export async function fetchCatalogue (url: URL, token: string | null): Promise<Catalogue | string> {
  const address = `${url.origin}${url.pathname.replace(/\/+$/, '')}/catalogue`
  try {
    const { statusCode, body } = await request(
      address, { headers: bearer(token), signal: AbortSignal.timeout(TIMEOUT_MS) })
    const text = await readAll(body)
    // Servers of the first release have the built-in catalogue only.
    if (statusCode === NOT_FOUND) return BUILT_IN
    if (statusCode !== 200) return `${address} answers ${statusCode}: ${text.trim()}`
    const parsed = parseCatalogue(text)
    return parsed.ok ? parsed.catalogue : `${address} has a catalogue that this simulator does not understand`
  } catch (error) {
    return `${address} cannot be read: ${(error as Error).message}`
  }
}
