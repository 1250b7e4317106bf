/**
 * The table ingest_stats: a server's counters, one row per ten seconds.
 *
 * A row is rewritten while its step is in progress and once at its end. Storing a row twice is harmless, so one whose
 * COMMIT was not answered is simply stored again.
 */
import { TELEMETRY } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { identifier } from '../database/quote.js'
import { tablesOf } from '../database/stream-tables.js'

/** Counters of a step, named like the columns. Null: no samples. */
export interface IngestStep {
  /** ISO 8601. */
  readonly time: string
  readonly instance: string
  readonly seconds: number
  readonly http_points: number
  readonly udp_points: number
  readonly replicated_points: number
  readonly committed_points: number
  readonly rejected_points: number
  readonly shed_points: number
  readonly quarantined_points: number
  readonly requests: number
  readonly http_denied_requests: number
  readonly ack_p50_seconds: number | null
  readonly ack_p99_seconds: number | null
  readonly batches: number
  readonly batch_points: number
  readonly transactions: number
  readonly transaction_points: number
  readonly transaction_seconds: number
  readonly transaction_p99_seconds: number | null
  readonly database_retries: number
  readonly points_waiting: number
  readonly spool_bytes: number
  readonly spool_oldest_seconds: number
  readonly udp_packets: number
  readonly udp_missing_packets: number
  readonly udp_kernel_drops: number
  readonly udp_malformed_packets: number
  readonly udp_duplicate_packets: number
  readonly udp_stale_packets: number
  readonly udp_shed_packets: number
  readonly udp_denied_packets: number
  /** The kinds that occurred, as "metric severity,metric severity", and their counts. */
  readonly anomaly_kinds: string
  readonly anomaly_counts: readonly number[]
  readonly worker_restarts: number
  readonly workers_ready: number
}

/** Source of steps, which is told what was stored. */
export interface IngestSteps {
  /** Complete steps that are not stored, and the current one. */
  pending (): readonly IngestStep[]
  stored (steps: readonly IngestStep[]): void
}

/** Rows stored later than this after their end do not record satellites_heard. */
const HEARD_LATE = '5 seconds'

/** Stores pending steps. @param streams on any of which a satellite may be heard */
export async function storeIngestSteps (
  database: Database, steps: IngestSteps, streams: readonly string[] = [TELEMETRY]
): Promise<void> {
  const pending = steps.pending()
  const [first] = pending
  if (first === undefined) return
  const columns = Object.keys(first).map(identifier)
  const changes = columns.map(column => `${column} = excluded.${column}`)
  const heard = streams.map(stream =>
    `SELECT satellite_id FROM ${tablesOf(stream).last} WHERE "time" > now() - interval '10 seconds'`)
  await database.query(`
    INSERT INTO public.ingest_stats (${columns.join(', ')}, satellites_heard)
    SELECT ${columns.map(column => `step.${column}`).join(', ')},
           CASE WHEN step."time" + make_interval(secs => step.seconds) > now() - interval '${HEARD_LATE}'
             THEN (SELECT count(*) FROM (${heard.join(' UNION ')}) heard) END
    FROM jsonb_populate_recordset(NULL::public.ingest_stats, $1) step
    ON CONFLICT ("time", instance) DO UPDATE
      SET ${changes.join(', ')}, satellites_heard = coalesce(excluded.satellites_heard, ingest_stats.satellites_heard)`,
  [JSON.stringify(pending)])
  steps.stored(pending)
}

/** Drops rows past retention. */
export async function dropIngestSteps (database: Database, retentionMs: number, nowMs: number): Promise<void> {
  await database.query('DELETE FROM public.ingest_stats WHERE "time" < $1', [new Date(nowMs - retentionMs)])
}
