/**
 * Compares ground truth with the server's anomalies, from the first true anomaly to the last.
 *
 *   found    injected and stored
 *   missed   injected but not stored: the point was lost or refused, or the anomaly was not detected
 *   false    stored but not injected; includes anomalies of other senders at that time
 */
import { askApi } from './send/api-request.js'
import { apiBase, bearer } from './send/bearer.js'
import { describeCause } from './summary.js'
import { codeOf } from './send/http-transport.js'
import { StartupError } from '../support/startup-error.js'
import type { TrueAnomaly } from './fleet/truth.js'

export interface Comparison {
  readonly found: number
  readonly missed: readonly TrueAnomaly[]
  readonly false: readonly TrueAnomaly[]
}

interface Page {
  readonly anomalies: readonly TrueAnomaly[]
  readonly next: string | null
}

const PAGE_MAX = 10_000
const ANSWER_TIMEOUT_MS = 30_000

/** Two anomalies match if satellite, metric, time (to the millisecond) and value are equal. */
function keyOf ({ satellite_id: id, metric, time, value }: TrueAnomaly): string {
  return `${metric} ${Date.parse(time)} ${value} ${id}`
}

export function compare (truth: readonly TrueAnomaly[], stored: readonly TrueAnomaly[]): Comparison {
  const left = new Map<string, number>()
  for (const anomaly of stored) left.set(keyOf(anomaly), (left.get(keyOf(anomaly)) ?? 0) + 1)
  const take = (anomaly: TrueAnomaly): boolean => {
    const count = left.get(keyOf(anomaly)) ?? 0
    left.set(keyOf(anomaly), count - 1)
    return count > 0
  }
  const missed = truth.filter((anomaly) => !take(anomaly))
  const surplus = stored.filter((anomaly) => take(anomaly))
  return { found: truth.length - missed.length, missed, false: surplus }
}

/**
 * All stored anomalies from the first time to the last, inclusive.
 * @param token null: none
 * @throws {StartupError} the server does not answer, or with something else
 */
export async function fetchAnomalies (
  url: URL,
  token: string | null,
  firstMs: number,
  lastMs: number
): Promise<TrueAnomaly[]> {
  const anomalies: TrueAnomaly[] = []
  let cursor: string | null = null
  do {
    const query = new URLSearchParams({
      since: String(firstMs),
      until: String(lastMs + 1),
      limit: String(PAGE_MAX),
      ...cursor === null ? {} : { cursor }
    })
    const page = await readPage(`${apiBase(url)}/anomalies`, query.toString(), token)
    for (const anomaly of page.anomalies) anomalies.push(anomaly)
    cursor = page.next
  } while (cursor !== null)
  return anomalies
}

async function readPage (address: string, query: string, token: string | null): Promise<Page> {
  const { status, text } = await askApi(`${address}?${query}`, ANSWER_TIMEOUT_MS, bearer(token))
    .catch((cause: unknown) => {
      throw new StartupError(`no answer from ${address}: ${describeCause(codeOf(cause))}`, { cause })
    })
  if (status !== 200) throw new StartupError(`${address} answers ${status}: ${text.trim()}`)
  try {
    const page = JSON.parse(text) as Page
    if (Array.isArray(page.anomalies)) return page
  } catch {
    // Said below.
  }
  throw new StartupError(`${address} is not served by OrbitStream; check --api-url`)
}
