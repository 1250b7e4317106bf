/** Reads back what the spool commands say and do. */
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import type { Outcome } from '../programs/command.js'

interface Slot {
  readonly slot: number
  readonly spoolId: string
  readonly segments: ReadonlyArray<{ readonly name: string, readonly frames: number }>
  readonly ledger: { readonly storedRows: number } | null
  readonly waiting: { readonly rows: number, readonly frames: number }
  readonly fault: { readonly kind: string } | null
}
export interface Inspection {
  readonly database: { readonly reachable: boolean, readonly reason: string | null }
  readonly slots: readonly Slot[]
  readonly waitingRows: number
}

export const open = async (url: string): Promise<Database> =>
  await connect(url, { applicationName: 'test', connectTimeoutMs: 5_000 })

/** Every storage_usage_mb in telemetry, sorted. */
export async function valuesIn (url: string): Promise<number[]> {
  const db = await open(url)
  const { rows } = await db.query<{ value: number }>('SELECT storage_usage_mb AS value FROM telemetry ORDER BY 1')
  await db.close()
  return rows.map(({ value }) => value)
}

/** Integers from one to the other, inclusive. */
export const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** The parsed output of `spool inspect --json`. */
export function toInspection ({ code, out, err }: Outcome): Inspection {
  if (code !== 0) throw new Error(`exit code ${code}: ${err}`)
  return JSON.parse(out) as Inspection
}
