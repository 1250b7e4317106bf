/**
 * The queries of docs/DATABASE.md and of whoever knows TimescaleDB, with points to ask and the rows that every kind of
 * server
 * must give for them.
 */
import { METRICS, METRIC_COUNT } from '../points/built-in.js'
import type { StoredPoint } from '../database/stored-rows.js'

const [FIRST, SECOND, THIRD] = METRICS.map(metric => metric.name) as [string, string, string]
const rest: readonly null[] = METRICS.slice(3).map(() => null)
const WIDTHS = [['10s', 10_000], ['1m', 60_000]] as const

/** Metric names with their values. */
function byName (values: StoredPoint['values']): Record<string, unknown> {
  return Object.fromEntries(METRICS.map(({ name }, metric) => [name, values[metric]]))
}

export interface QueryCase {
  readonly name: string
  readonly sql: string
  readonly rows: (data: QueryData) => unknown[]
}

export interface QueryData {
  /** A full minute, three to four minutes ago. */
  readonly beginMs: number
  /** Already past when rollups are built. */
  readonly early: readonly StoredPoint[]
  /** Newer than what has been rolled up. */
  readonly newest: readonly StoredPoint[]
  /** From an hour and a day earlier, stored last. */
  readonly late: readonly StoredPoint[]
}

/** Rows of the anomalies table: two of one kind a minute ago, one of another, and one more than an hour old. */
export const ANOMALIES = `
  INSERT INTO anomalies (time, satellite_id, metric, value, limit_value, severity, side, limits_version)
  SELECT now() - age, satellite, '${FIRST}', 1, 2, severity, 'low', 1
  FROM (VALUES (interval '61 seconds', 'SAT-0001', 'critical'), (interval '1 minute', 'SAT-0001', 'critical'),
               (interval '1 minute', 'SAT-0002', 'warning'),
               (interval '61 minutes', 'SAT-0009', 'critical')) a (age, satellite, severity)`

/** SAT-0001: a point per second for two minutes; SAT-0002: one every 30 s; SAT-0009: two a day ago, in one bucket. */
export function queryData (nowMs = Date.now()): QueryData {
  const beginMs = Math.floor(nowMs / 60_000) * 60_000 - 180_000
  const point = (satellite: string, timeMs: number, ...values: Array<number | null>): StoredPoint => (
    { satellite, timeMs, values: [...values, ...rest] })
  return {
    beginMs,
    early: [
      ...Array.from({ length: 120 }, (_, second) => (
        point('SAT-0001', beginMs + second * 1000, second, 1000 - second, second % 2 === 0 ? -70 : null))),
      ...Array.from({ length: 4 }, (_, index) => (
        point('SAT-0002', beginMs + index * 30_000 + 250, null, null, -80 - index)))
    ],
    newest: [point('SAT-0002', beginMs + 179_500, 5, null, null)],
    late: [
      point('SAT-0001', beginMs + 500, 100, 900, null),
      point('SAT-0009', beginMs - 86_400_000, 1, 2, 3),
      point('SAT-0009', beginMs - 86_400_000 + 1000, 3, 2, 1),
      point('SAT-0002', beginMs - 3_600_000, 7, 7, 7)
    ]
  }
}

const iso = (ms: number): Date => new Date(ms)

/** The last point of each satellite. */
function latest ({ early, newest, late }: QueryData): unknown[] {
  const last = new Map<string, StoredPoint>()
  for (const point of [...early, ...newest, ...late]) {
    if ((last.get(point.satellite)?.timeMs ?? -Infinity) < point.timeMs) last.set(point.satellite, point)
  }
  return [...last.values()].sort((a, b) => a.satellite < b.satellite ? -1 : 1)
    .map(({ satellite, timeMs, values }) => ({ satellite_id: satellite, time: iso(timeMs), ...byName(values) }))
}

/** Rollups computed directly from the points. */
function rolled (data: QueryData, widthMs: number, satellite: string): unknown[] {
  const groups = new Map<number, StoredPoint[]>()
  for (const point of [...data.early, ...data.newest, ...data.late]) {
    const bucket = Math.floor(point.timeMs / widthMs) * widthMs
    if (point.satellite === satellite) groups.set(bucket, [...groups.get(bucket) ?? [], point])
  }
  return [...groups].sort(([a], [b]) => a - b)
    .map(([bucket, points]) => ({ bucket: iso(bucket), points: String(points.length), ...summary(points) }))
}

function summary (points: readonly StoredPoint[]): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: METRIC_COUNT }, (_, metric): Array<[string, unknown]> => {
    const values = points.map(({ values }) => values[metric] ?? null).filter(value => value !== null)
    const name = METRICS[metric]!.name
    const none = values.length === 0
    return [
      [`${name}_count`, String(values.length)],
      [`${name}_min`, none ? null : Math.min(...values)],
      [`${name}_max`, none ? null : Math.max(...values)],
      [`${name}_avg`, none ? null : Number((values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(6))]
    ]
  }).flat())
}

const shownColumns = METRICS.flatMap(({ name }) => [
  `"${name}_count"::text`, `"${name}_min"`, `"${name}_max"`,
  `round("${name}_avg"::numeric, 6)::double precision AS "${name}_avg"`
]).join(', ')

/** Word for word as in docs/DATABASE.md. */
export const DOCUMENTED_QUERIES: readonly QueryCase[] = [
  {
    name: 'points per second over the last five minutes',
    sql: `SELECT time_bucket('1 second', time) AS second, count(*) FROM telemetry
WHERE time > now() - interval '5 minutes' GROUP BY 1 ORDER BY 1`,
    rows: ({ beginMs, early, newest, late }) => {
      const counts = new Map<number, number>()
      for (const { timeMs } of [...early, ...newest, ...late].filter(({ timeMs }) => timeMs >= beginMs)) {
        const second = Math.floor(timeMs / 1000) * 1000
        counts.set(second, (counts.get(second) ?? 0) + 1)
      }
      return [...counts].sort(([a], [b]) => a - b)
        .map(([second, count]) => ({ second: iso(second), count: String(count) }))
    }
  },
  {
    name: "one satellite's last five minutes",
    sql: `SELECT * FROM telemetry
WHERE satellite_id = 'SAT-0001' AND time > now() - interval '5 minutes' ORDER BY time`,
    rows: ({ beginMs, early, late }) => [...early, ...late]
      .filter(({ satellite, timeMs }) => satellite === 'SAT-0001' && timeMs >= beginMs)
      .sort((a, b) => a.timeMs - b.timeMs)
      .map(({ satellite, timeMs, values }) => ({ time: iso(timeMs), satellite_id: satellite, ...byName(values) }))
  },
  {
    name: 'the last point of every satellite',
    sql: 'SELECT * FROM satellites_latest ORDER BY satellite_id',
    rows: latest
  },
  {
    name: 'satellites that were silent for an hour',
    sql: `SELECT satellite_id, time FROM satellites_latest
WHERE time < now() - interval '1 hour' ORDER BY time`,
    rows: ({ beginMs }) => [{ satellite_id: 'SAT-0009', time: iso(beginMs - 86_400_000 + 1000) }]
  },
  {
    name: 'two days of one satellite, a row a minute',
    sql: `SELECT bucket, ${FIRST}_min, ${FIRST}_avg, ${FIRST}_max FROM telemetry_1m
WHERE satellite_id = 'SAT-0009' AND bucket > now() - interval '2 days' ORDER BY bucket`,
    rows: ({ beginMs }) => [
      { bucket: iso(beginMs - 86_400_000), [`${FIRST}_min`]: 1, [`${FIRST}_avg`]: 2, [`${FIRST}_max`]: 3 }
    ]
  },
  {
    name: 'anomalies of the last hour by satellite and metric',
    sql: `SELECT satellite_id, metric, severity, count(*) FROM anomalies
WHERE time > now() - interval '1 hour' GROUP BY 1, 2, 3 ORDER BY 4 DESC`,
    rows: () => [['SAT-0001', 'critical', '2'], ['SAT-0002', 'warning', '1']]
      .map(([satellite, severity, count]) => ({ satellite_id: satellite, metric: FIRST, severity, count }))
  }
]

export const QUERIES: readonly QueryCase[] = [
  ...DOCUMENTED_QUERIES,
  ...['SAT-0001', 'SAT-0002', 'SAT-0009'].flatMap(satellite => WIDTHS.map(([width, ms]): QueryCase => ({
    name: `rollup of ${width} of ${satellite}`,
    sql: `SELECT bucket, points::text, ${shownColumns} FROM telemetry_${width}
      WHERE satellite_id = '${satellite}' ORDER BY bucket`,
    rows: data => rolled(data, ms, satellite)
  }))),
  {
    name: 'the fleet from rollups',
    sql: `SELECT sum(points)::text AS points, sum(${SECOND}_count)::text AS values, max(${THIRD}_max) AS best
      FROM telemetry_1m`,
    rows: ({ early, newest, late }) => [
      { points: String(early.length + newest.length + late.length), values: '124', best: 7 }
    ]
  },
  {
    name: 'the last point of one satellite',
    sql: "SELECT time FROM satellites_latest WHERE satellite_id = 'SAT-0002'",
    rows: ({ beginMs }) => [{ time: iso(beginMs + 179_500) }]
  },
  {
    name: 'time_bucket: widths and boundaries',
    sql: `SELECT w::text AS width, time_bucket(w::interval, '2026-11-25 13:47:38.123456+00'::timestamptz) AS bucket
      FROM unnest(ARRAY['100 ms', '1 second', '10 seconds', '1 minute', '5 minutes', '7 minutes', '15 minutes',
        '1 hour', '6 hours', '1 day', '1 week']) w`,
    rows: () => [
      ['100 ms', '2026-11-25T13:47:38.100Z'],
      ['1 second', '2026-11-25T13:47:38Z'],
      ['10 seconds', '2026-11-25T13:47:30Z'],
      ['1 minute', '2026-11-25T13:47:00Z'],
      ['5 minutes', '2026-11-25T13:45:00Z'],
      ['7 minutes', '2026-11-25T13:43:00Z'],
      ['15 minutes', '2026-11-25T13:45:00Z'], ['1 hour', '2026-11-25T13:00:00Z'], ['6 hours', '2026-11-25T12:00:00Z'],
      ['1 day', '2026-11-25T00:00:00Z'], ['1 week', '2026-11-23T00:00:00Z']
    ].map(([width, bucket]) => ({ width, bucket: new Date(bucket!) }))
  },
  {
    name: 'time_bucket before its origin, and of null',
    sql: `SELECT time_bucket('1 week', '1999-12-31 23:59:59+00'::timestamptz) AS bucket,
      time_bucket('1 day', NULL::timestamptz) AS nothing`,
    rows: () => [{ bucket: new Date('1999-12-27T00:00:00Z'), nothing: null }]
  }
]
