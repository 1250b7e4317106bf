/** Forgets what last_changes has of satellites without points and of metrics that no longer have a limit on change. */
import { TELEMETRY } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { tablesOf } from '../database/stream-tables.js'

/** A row that young may be of points that satellites_last does not have yet. */
const AGE = '1 day'

export async function dropLastChanges (database: Database, streams: readonly string[]): Promise<void> {
  await database.query(`
    DELETE FROM public.last_changes c WHERE NOT EXISTS (
      SELECT FROM public.limits, LATERAL (
        SELECT limits -> 'default' AS entry UNION ALL SELECT value FROM jsonb_each(limits -> 'overrides')
      ) entries WHERE entry -> c.metric ? 'change')`)
  for (const stream of streams) {
    const { last, late } = tablesOf(stream)
    await database.query(`
      DELETE FROM public.last_changes c
      WHERE "time" < now() - interval '${AGE}' AND starts_with(metric, $1) AND (strpos(metric, '.') > 0) = ($1 <> '')
        AND NOT EXISTS (SELECT FROM ${last} l WHERE l.satellite_id = c.satellite_id)
        AND NOT EXISTS (SELECT FROM ${late} l WHERE l.satellite_id = c.satellite_id)`,
    [stream === TELEMETRY ? '' : `${stream}.`])
  }
}
