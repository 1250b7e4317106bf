/** Which names streams and metrics may have. */
import { STREAM_NAME_BYTES_MAX, TELEMETRY } from '../../protocol/catalogue.js'
import { NAME_BYTES_MAX } from '../../protocol/schema.js'
import { STATE_NAME_BYTES_MAX } from '../../protocol/value-types.js'

const STREAM_NAME = new RegExp(`^[a-z][a-z0-9_]{0,${STREAM_NAME_BYTES_MAX - 1}}$`)

export const NAME_RULE = `1 to ${NAME_BYTES_MAX} lower-case letters, digits and _, beginning with a letter`
export const STATE_NAME_RULE = `1 to ${STATE_NAME_BYTES_MAX} letters, digits, _, . and -, beginning with a letter`
export const STREAM_NAME_RULE =
  `1 to ${STREAM_NAME_BYTES_MAX} lower-case letters, digits and _, beginning with a letter`
export const RESERVED_RULE = 'is a name that every point or table already has'
export const RESERVED_STREAM_RULE = 'is a name that a table, a path or SQL already has: choose another'

/**
 * Names that a point, a table or a view of ours has for something else; the columns that PostgreSQL gives every table;
 * and the property of every object that could be a name.
 */
export const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'satellite_id', 'time', 'timestamp', 'stream', 'points', 'bucket', 'received', 'until',
  'xmin', 'xmax', 'cmin', 'cmax', 'ctid', 'tableoid',
  'constructor'
])

/** What the names of our tables, views and functions begin with. */
const OWN_PREFIXES = [
  'anomalies', 'catalogue', 'compared_points', 'ingest', 'limits', 'metric_states', 'orbitstream', 'pg_',
  'quarantined', 'rollup', 'satellite', 'schema_migrations', TELEMETRY, 'time_bucket'
]
/** What the tables, indexes and partitions of a stream append to its name. */
const OWN_SUFFIX = /_(10s|1m|last|late|latest|first_release|brin|p\d+_*|p_first)$|rollup/
/** Source: PostgreSQL manual, appendix C, "SQL Key Words": those that cannot name a table without quotes. */
const KEYWORDS = new Set((
  'all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation ' +
  'column concurrently constraint create cross current_catalog current_date current_role current_schema ' +
  'current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for ' +
  'foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral ' +
  'leading left like limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps ' +
  'placing primary references returning right select session_user similar some symmetric system_user table ' +
  'tablesample then to trailing true union unique user using variadic verbose when where window with'
).split(' '))
/** Path segments below /telemetry, properties that every object has, and what our functions have without a stream. */
const OTHERS = new Set(['batch', 'constructor', 'await'])

export function isReserved (name: string): boolean {
  return RESERVED_NAMES.has(name)
}

/** Whether a stream may have this name, unless it is reserved. */
export function isStreamName (name: string): boolean {
  return STREAM_NAME.test(name)
}

export function isReservedStream (name: string): boolean {
  return name !== TELEMETRY && (OWN_PREFIXES.some((prefix) => name.startsWith(prefix)) || OWN_SUFFIX.test(name) ||
    KEYWORDS.has(name) || OTHERS.has(name))
}

/** Of orbitstream_STREAM_await_writers: the stream STREAM_await would have the same as its orbitstream_…_writers. */
const OWN_INFIX = '_await'

/** A stream beside which none may have this name; null: any may. */
export function excludedBy (name: string): string | null {
  return name.endsWith(OWN_INFIX) ? name.slice(0, -OWN_INFIX.length) : null
}
