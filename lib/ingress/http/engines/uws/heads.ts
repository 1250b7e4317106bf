/**
 * Heads of answers for uWebSockets.js. It writes a status as it is given, so the headers go with it: each further call
 * would cost as much as the first.
 */
import { STATUS_CODES } from 'node:http'
import type { Headers } from '../engine.js'

/** Status lines as uWebSockets.js expects them: "202 Accepted". */
const STATUS_LINES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(STATUS_CODES).map(([status, text]) => [status, `${status} ${String(text)}`]))

/** The latest: most answers have the head of the one before, from the same constant. */
let latest: { readonly status: number, readonly headers: Headers, readonly text: string } | null = null

/** Status line and headers, without the final line break. @param headers never changed afterwards */
export function headText (status: number, headers: Headers): string {
  if (latest !== null && latest.headers === headers && latest.status === status) return latest.text
  const text = [STATUS_LINES[status] ?? String(status), ...headers.map((line) => line.join(': '))].join('\r\n')
  latest = { status, headers, text }
  return text
}
