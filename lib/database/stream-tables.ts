/**
 * The tables, views and functions of a stream. All streams have the same, under names of their own: what the statements
 * of this program call telemetry, rollup_10s or orbitstream_roll_up is thermal, thermal_rollup_10s and
 * orbitstream_thermal_roll_up for the stream `thermal`.
 *
 *   telemetry, telemetry_…                  thermal, thermal_…
 *   rollup_…                                thermal_rollup_…
 *   satellites_last, _late, _latest         thermal_last, _late, _latest
 *   orbitstream_…                           orbitstream_thermal_…     except the role and orbitstream_limits_of
 *
 * Names of streams are valid identifiers without quotes and collide with none of ours (lib/catalogue/name-rules.ts).
 */
import { TELEMETRY } from '../../protocol/catalogue.js'
import type { QueryOutcome, Session } from './database.js'

/** Of objects, not of the placeholders of migrations. */
const NAMES = new RegExp(
  '(?<!\\{\\{)\\b(?:(telemetry)(?=\\b|_)|(rollup_)|satellites_(last|late|latest)\\b|' +
  'orbitstream_(?!reader\\b|limits_of\\b))', 'g')

/** A statement of ours about `telemetry`, for another stream. It must not contain names of metrics. */
export function streamSql (sql: string, stream: string): string {
  if (stream === TELEMETRY) return sql
  return sql.replaceAll(NAMES, (_, telemetry?: string, rollup?: string, last?: string) => {
    if (telemetry !== undefined) return stream
    if (rollup !== undefined) return `${stream}_rollup_`
    return last === undefined ? `orbitstream_${stream}_` : `${stream}_${last}`
  })
}

/** Tables and views of a stream, for statements that contain names of metrics. */
export interface StreamTables {
  readonly points: string
  readonly tens: string
  readonly minutes: string
  readonly latest: string
  readonly last: string
  readonly late: string
  readonly rollupState: string
  /** With their sums; views on TimescaleDB. */
  readonly rollupTens: string
  readonly rollupMinutes: string
  readonly rollupDirty: string
}

export function tablesOf (stream: string): StreamTables {
  const named = (name: string): string => `public.${streamSql(name, stream)}`
  return {
    points: named('telemetry'),
    tens: named('telemetry_10s'),
    minutes: named('telemetry_1m'),
    latest: named('satellites_latest'),
    last: named('satellites_last'),
    late: named('satellites_late'),
    rollupState: named('rollup_state'),
    rollupTens: named('rollup_10s'),
    rollupMinutes: named('rollup_1m'),
    rollupDirty: named('rollup_dirty')
  }
}

/** A session whose statements about `telemetry` are for another stream. Parameters are as they are. */
export function inStream (session: Session, stream: string): Session {
  return stream === TELEMETRY ? session : new StreamSession(session, stream)
}

class StreamSession implements Session {
  constructor (private readonly session: Session, private readonly stream: string) {}

  get alive (): boolean {
    return this.session.alive
  }

  async query <Row extends object = Record<string, unknown>> (
    text: string, values?: readonly unknown[]
  ): Promise<QueryOutcome<Row>> {
    return await this.session.query<Row>(streamSql(text, this.stream), values)
  }
}
