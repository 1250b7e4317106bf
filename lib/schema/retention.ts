/**
 * What is kept for how long: the points of a stream and their rollups for the stream's own retention, or else for
 * RETENTION; anomalies, which all streams share, for the longest of these and RETENTION.
 *
 * A running server reads it from the catalogue in the database at each round of upkeep, so a change takes effect on all
 * hosts, whichever catalogue they started with.
 */
import { strict as assert } from 'node:assert'
import type { StreamStorage } from '../../protocol/catalogue.js'
import { parseDuration } from '../config/setting-types.js'
import type { Database } from '../database/database.js'

/** As a stream of the catalogue has them. */
export interface StoredStream {
  readonly name: string
  readonly storage: Pick<StreamStorage, 'retentionMs'>
}

/** Age at which points of the stream are dropped. @param setMs RETENTION */
export function retentionOf ({ storage }: StoredStream, setMs: number): number {
  return storage.retentionMs ?? setMs
}

/** Age at which anomalies are dropped. @param setMs RETENTION */
export function anomalyRetention (streams: readonly StoredStream[], setMs: number): number {
  return Math.max(setMs, ...streams.map(({ storage: { retentionMs } }) => retentionMs ?? 0))
}

/** The streams of the catalogue in force; none before a catalogue is stored. */
export async function readStoredStreams (database: Database): Promise<StoredStream[]> {
  const { rows } = await database.query<{ name: string, retention: string | null }>(`
    SELECT s.key AS name, s.value->>'retention' AS retention
    FROM (SELECT catalogue FROM public.catalogue ORDER BY version DESC LIMIT 1) newest,
         jsonb_each(newest.catalogue->'streams') s`)
  return rows.map(({ name, retention }) => {
    const retentionMs = retention === null ? null : parseDuration(retention)
    assert(retention === null || retentionMs !== null, `the retention of ${name} is a duration`)
    return { name, storage: { retentionMs } }
  })
}
