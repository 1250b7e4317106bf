/** What dashboards show of a catalogue, and the tables and names that their queries use for it. */
import { streamSql } from '../../lib/database/stream-tables.js'
import { Stream, TELEMETRY, type Catalogue, type Metric } from '../../protocol/catalogue.js'
import { UID } from './panels.js'

/** `telemetry` and what else is sent; at least one. */
export type Streams = readonly [Stream, ...Stream[]]

/** PostgreSQL truncates column names to 63 bytes; some end in " limits". */
const TITLE_BYTES_MAX = 56

/**
 * The streams that have a dashboard, with their live metrics. Their titles become columns and panels, so each is
 * distinct in its stream and short enough.
 */
export function shownStreams ({ telemetry, live }: Catalogue): Streams {
  const others = live.filter(({ name, live }) => name !== TELEMETRY && live.length > 0)
  const titles = distinct([telemetry, ...others])
  const shown = (stream: Stream): Stream => {
    const { id, name, intervalMs, retired, live } = stream
    return new Stream({ id, name, title: titles.get(stream) ?? name, intervalMs, retired, metrics: titledApart(live) })
  }
  return [shown(telemetry), ...others.map(shown)]
}

function titledApart (metrics: readonly Metric[]): Metric[] {
  const titles = distinct(metrics)
  return metrics.map((metric) => ({ ...metric, title: titles.get(metric) ?? metric.name }))
}

type Titled = Pick<Metric, 'name' | 'title'>

/** Titles by what they belong to; where two would be the same, each has its name behind it. */
function distinct<T extends Titled> (all: readonly T[]): Map<T, string> {
  const short = all.map(({ title }) => truncated(title, TITLE_BYTES_MAX))
  return new Map(all.map((each, index) => {
    const title = short[index] ?? each.name
    if (short.filter((other) => other === title).length === 1) return [each, title]
    const suffix = ` (${each.name})`
    return [each, truncated(title, TITLE_BYTES_MAX - suffix.length) + suffix]
  }))
}

function truncated (text: string, bytesMax: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= bytesMax) return text
  // As a stream the decoder leaves out a character that is cut.
  const whole = new TextDecoder().decode(bytes.subarray(0, bytesMax - Buffer.byteLength('…')), { stream: true })
  return `${whole}…`
}

/** A table or view of a stream, by what `telemetry` calls it. */
export function tableOf ({ name }: Stream, table: string): string {
  return streamSql(table, name)
}

/** When each satellite was last heard, on any stream: a relation with satellite_id and "time". */
export function heardIn (streams: Streams): string {
  const latest = streams.map((stream) => tableOf(stream, 'satellites_latest'))
  if (latest.length === 1) return String(latest[0])
  const all = latest.map((table) => `SELECT satellite_id, "time" FROM ${table}`).join(' UNION ALL ')
  return `(SELECT satellite_id, max("time") AS "time" FROM (${all}) streams GROUP BY 1) heard`
}

/** The dashboard of a stream's satellites, in Grafana's format: up to 40 characters. */
export function boardUid ({ name }: Stream): string {
  return name === TELEMETRY ? UID.satellite : `orbitstream-s-${name}`
}
