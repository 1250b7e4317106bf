/**
 * Compares every stored point of a load with what was sent and acknowledged.
 *
 *   counts              each number is stored at least as often as its body was acknowledged, at most as often as sent
 *   no duplicates       a body has a new time each time it is sent: as many distinct times as copies
 *   whole requests      all points of a body have the same times as its first (compared by count and sum)
 *   values              satellite and all metrics follow from the number
 *   nothing else        every row in the table, probes included, belongs to the load
 *
 * The database groups by number, of which there are few: memory is bounded, however many rows there are. Distinct times
 * are counted only for the first point of each body, since that needs a sort; the sums cover the rest. Over UDP only
 * the first point of a packet has its own time.
 */
import { BUILT_IN } from '../protocol/catalogue.js'
import type { Database } from '../lib/database/database.js'
import { PROBE_ID } from './load/jobs.js'
import { pointOf, POINT_NUMBER_MAX, type PointSet } from './points.js'

/** Bounds on how often each body is stored: at least as often as acknowledged, at most as often as sent. */
export interface Expected {
  readonly points: PointSet
  readonly acknowledged: readonly number[]
  readonly sent: readonly number[]
  /** Several senders may send the same body at the same time, so copies are indistinguishable. */
  readonly timesRepeat?: boolean
  /** Probes sent alongside the load; default: none. */
  readonly probes?: { readonly sent: number, readonly acknowledged: number }
  /** Ignores rows older than this, in milliseconds since 1970. */
  readonly sinceMs?: number
}

export interface Comparison {
  /** Number of the load's points in the table. */
  readonly stored: number
  readonly problems: readonly string[]
}

/** All rows with the same number. */
export interface StoredPoint {
  /** Null: the value is NULL. */
  readonly number: number | null
  readonly count: number
  /** Sum of the times, in milliseconds since a fixed one. */
  readonly times: number
  readonly satellites: readonly [string, string]
  /** Smallest and largest value of each of the other metrics. */
  readonly batteries: readonly [number | null, number | null]
  readonly signals: readonly [number | null, number | null]
}

export interface StoredRows {
  readonly points: readonly StoredPoint[]
  /** By body: distinct times of its first point. */
  readonly differentTimes: ReadonlyMap<number, number>
  readonly probes: { readonly rows: number, readonly different: number }
}

const [BATTERY, STORAGE, SIGNAL] = BUILT_IN.telemetry.metrics.map(({ name }) => `"${name}"`) as [string, string, string]
const NUMBER = `${STORAGE} * 2`
/** More than there are numbers: anything beyond is foreign, and enough of it was seen. */
const GROUPS_MAX = POINT_NUMBER_MAX + 1_000
const PROBLEMS_MAX = 8
/** Fits all groups: otherwise they are spilled to disk, repeatedly. */
const WORK_MEMORY = '256MB'

/** See the head of this file. Takes a few seconds for 10 million rows. */
export async function compare (db: Database, expected: Expected): Promise<Comparison> {
  return compareRows(await readRows(db, expected), expected)
}

async function readRows (
  db: Database,
  { points: { batch }, timesRepeat = false, sinceMs }: Expected
): Promise<StoredRows> {
  await db.query(`SET work_mem = '${WORK_MEMORY}'`)
  const since = sinceMs === undefined ? '-infinity' : new Date(sinceMs).toISOString()
  const { rows: points } = await db.query<StoredPoint>(
    `SELECT ${NUMBER} AS number, count(*)::float8 AS count, ` +
    'sum(round(date_part(\'epoch\', "time") * 1000) - $1::float8) AS times, ' +
    'ARRAY[min(satellite_id), max(satellite_id)] AS satellites, ' +
    `ARRAY[min(${BATTERY}), max(${BATTERY})] AS batteries, ARRAY[min(${SIGNAL}), max(${SIGNAL})] AS signals ` +
    `FROM telemetry WHERE satellite_id <> '${PROBE_ID}' AND "time" >= $2 GROUP BY 1 LIMIT ${GROUPS_MAX}`,
    [Date.now(), since])
  const { rows: bodies } = timesRepeat
    ? { rows: [] }
    : await db.query<{ body: number, times: number }>(
      `SELECT ${NUMBER} / $1::float8 AS body, count(DISTINCT "time")::float8 AS times FROM telemetry ` +
      `WHERE satellite_id <> '${PROBE_ID}' AND "time" >= $2 AND ${NUMBER} = floor(${NUMBER} / $1::float8) * ` +
      `$1::float8 GROUP BY 1 LIMIT ${GROUPS_MAX}`, [batch, since])
  const { rows: [probes] } = await db.query<StoredRows['probes']>(
    `SELECT count(*)::float8 AS rows, count(DISTINCT ${STORAGE})::float8 AS different FROM telemetry WHERE ` +
      `satellite_id = '${PROBE_ID}' AND "time" >= $1`, [since])
  return {
    points,
    differentTimes: new Map(bodies.map(({ body, times }) => [body, times])),
    probes: probes ?? { rows: 0, different: 0 }
  }
}

/** See `compare`. */
export function compareRows (rows: StoredRows, expected: Expected): Comparison {
  const { stored, problems } = compareCounts(rows, expected)
  return {
    stored,
    problems: [
      ...problems,
      ...foreignProblems(rows.points, expected.points),
      ...probeProblems(rows.probes, expected)
    ].slice(0, PROBLEMS_MAX)
  }
}

function compareCounts (
  { points: rows, differentTimes }: StoredRows,
  { points, acknowledged, sent, timesRepeat = false }: Expected
): Comparison {
  const byNumber = new Map(rows.map((row) => [row.number, row]))
  const totals = { stored: 0, lost: 0, extra: 0, twice: 0, torn: 0 }
  for (let body = 0; body < points.bodies; body++) {
    const copies = byNumber.get(body * points.batch)?.count ?? 0
    const second = byNumber.get(body * points.batch + 1)
    // Copies with the same time were sent at most once.
    const different = timesRepeat ? copies : differentTimes.get(body) ?? 0
    totals.twice += (copies - different) * points.batch
    for (let number = body * points.batch; number < (body + 1) * points.batch; number++) {
      const row = byNumber.get(number)
      const count = row?.count ?? 0
      totals.stored += count
      totals.lost += Math.max(0, (acknowledged[body] ?? 0) - (copies === count ? different : count))
      totals.extra += Math.max(0, count - (sent[body] ?? 0))
      if (count !== copies || (number % points.batch > 0 && row?.times !== second?.times)) totals.torn++
    }
  }
  return { stored: totals.stored, problems: countProblems(totals) }
}

function countProblems ({ lost, extra, twice, torn }: {
  readonly lost: number,
  readonly extra: number,
  readonly twice: number,
  readonly torn: number
}): string[] {
  return [
    ...lost > 0 ? [`${lost} points were acknowledged but are not stored`] : [],
    ...extra > 0 ? [`${extra} points are stored more often than they were sent`] : [],
    ...twice > 0 ? [`${twice} points are stored twice: two of them have the same time`] : [],
    ...torn > 0 ? [`${torn} points are stored without others of their request`] : []
  ]
}

/** Rows that do not belong to the load, and rows of the load with wrong values. */
function foreignProblems (rows: readonly StoredPoint[], set: PointSet): string[] {
  const total = set.bodies * set.batch
  let foreign = 0
  const wrong: string[] = []
  for (const row of rows) {
    const { number, count } = row
    if (number === null || !Number.isInteger(number) || number < 0 || number >= total) foreign += count
    else if (!isAsSent(row, number, set.satellites)) {
      wrong.push(
      `${row.satellites.join()} ${row.batteries.join()} ${row.signals.join()} for point ${number}`
      )
    }
  }
  return [
    ...foreign > 0 ? [`${foreign} points are stored that were never sent`] : [],
    ...wrong.length > 0
      ? [`${wrong.length} points are stored with a wrong satellite or value, such as ${String(wrong[0])}`]
      : []
  ]
}

function isAsSent ({ satellites, batteries, signals }: StoredPoint, number: number, satelliteCount: number): boolean {
  const { satelliteId, battery, signal } = pointOf(number, satelliteCount)
  return satellites.every((id) => id === satelliteId) && batteries.every((value) => value === battery) &&
    signals.every((value) => value === signal)
}

function probeProblems (
  { rows, different }: StoredRows['probes'],
  { probes = { sent: 0, acknowledged: 0 } }: Expected
): string[] {
  return [
    ...different < probes.acknowledged
      ? [`${probes.acknowledged - different} probes were acknowledged but are not stored`]
      : [],
    ...rows > different ? [`${rows - different} probes are stored twice`] : [],
    ...different > probes.sent ? [`${different - probes.sent} probes are stored that were never sent`] : []
  ]
}
