/** What tests of retention and of missed maintenance do on every kind of server. */
import type { Database } from '../../../lib/database/database.js'

/** Relations from which retention removes rows. */
export const RETAINED = ['telemetry', 'anomalies', 'telemetry_10s', 'telemetry_1m', 'satellites_latest'] as const

/** Stores an anomaly of each satellite at its time. */
export async function storeAnomalies (
  database: Database, times: ReadonlyArray<readonly [satellite: string, timeMs: number]>
): Promise<void> {
  await database.query(`
    INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
    SELECT to_timestamp(at / 1000.0), satellite, 'm', 1, 2, 'critical', 'low', 1
    FROM unnest($1::text[], $2::bigint[]) a (satellite, at)`,
  [times.map(([satellite]) => satellite), times.map(([, timeMs]) => timeMs)])
}

/** As if the last roll-up had run this long ago. */
export async function setBack (database: Database, span: string): Promise<void> {
  await database.query(`
    UPDATE rollup_state SET closing = now() - interval '${span}', latest_watermark = now() - interval '${span}',
      watermark = time_bucket('10 seconds', now() - interval '${span}')`)
}
