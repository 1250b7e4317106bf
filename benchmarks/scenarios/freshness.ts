/**
 * Age of what dashboards show: the time from the first point of a load of 10,000 points/s, one percent of them beyond a
 * limit, until the result of each dashboard query shows something new. On a separate server with empty tables. Every
 * query must show something new, except for things that a healthy load does not cause.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { allQueries, RANGES, type DashboardQuery } from '../../grafana/queries/dashboards.js'
import { expandMacros } from '../../grafana/queries/macros.js'
import type { Database } from '../../lib/database/database.js'
import { compare } from '../comparison.js'
import { held } from '../held.js'
import { prepareLoad } from '../load/child.js'
import type { PacedJob, PacedResult } from '../load/jobs.js'
import { pacedProblems, pointsIn } from '../outcomes.js'
import { satelliteOf } from '../points.js'
import { withServer } from '../rigs/own-server.js'
import type { Results, Session } from '../session.js'
import { latencyOf } from '../statistics.js'
import { empty, ledgerTotal, settle } from '../stored.js'
import { warmUp } from './warm-up.js'

const SATELLITES = 100
const RATE = 10_000
const CONNECTIONS = 64
const BODIES = 7_800
const SECONDS = 5
/** One percent of the points of benchmarks/points.ts are below this. */
const BATTERY_CRITICAL = '20.78'
const AGE_MS_MAX = 2_000
/** Longer than the dashboards look back for per-second figures. */
const QUIET_MS = 3_000
/** Panels show the last hour: they may show the seconds before the load late. */
const QUIET_TURNS = 2

/** By title: not caused by a healthy load. */
export const NEED_NOT_SHOW: ReadonlySet<string> = new Set([
  // Limits are not changed during the load.
  'Fleet: annotation Limits changed',
  'Satellite: annotation Limits changed',
  'Ingest: annotation Limits changed',
  'Satellite: Battery charge B',
  'Satellite: Storage in use B',
  'Satellite: Signal strength B',
  // All satellites send.
  'Fleet: Silent now A',
  'Fleet: Silent satellites A',
  // The number of workers does not change.
  'Ingest: Workers ready A',
  // Histogram quantiles: new values may equal the old ones.
  'Ingest: Time to 202 (p99) A',
  'Ingest: Workers A',
  // Nothing is lost, refused or delayed.
  'Ingest: Points/s not stored, by cause A',
  'Ingest: UDP packets/s lost or refused, by cause A',
  'Ingest: Quarantine A',
  'alert: Spool is growing',
  'alert: UDP packets are lost'
])

export async function measureFreshness (session: Session, results: Results): Promise<void> {
  await withServer(session, { env: { ANOMALY_THRESHOLD_BATTERY: BATTERY_CRITICAL } }, async (own) => {
    await warmUp(own)
    await measureRanges(own, results)
  })
}

async function measureRanges (own: Session, results: Results): Promise<void> {
  const asker = await own.server.connect()
  try {
    await asker.query('SET ROLE orbitstream_reader; SET jit = off')
    for (const range of RANGES) await measureRange(own, asker, range, results)
  } finally {
    await asker.close()
  }
}

interface Watched {
  readonly query: DashboardQuery
  /** What it showed before the load. */
  readonly known: Set<string>
  ageMs: number
}

async function measureRange (
  session: Session,
  asker: Database,
  range: typeof RANGES[number],
  results: Results
): Promise<void> {
  const { db, server } = session
  await empty(db)
  await db.query('TRUNCATE anomalies')
  await db.query('TRUNCATE ingest_stats')
  await wait(QUIET_MS)
  const panels = await quietPanels(asker, range)
  const job = jobOf(server.port)
  const load = await prepareLoad<PacedResult>('./paced-sender.js', job)
  const before = await ledgerTotal(db)
  const result = await watch(asker, range, panels, load.run())
  const totals = { acknowledged: pointsIn(result.acknowledged, 1), sent: pointsIn(result.sent, 1) }
  const settled = await settle(db, before, totals)
  const { stored, problems } = await compare(db, {
    points: job.points,
    acknowledged: result.acknowledged,
    sent: result.sent
  })
  const ages = panels.flatMap(({ ageMs }) => Number.isNaN(ageMs) ? [] : [ageMs])
  results.add('freshness', `freshness_${range.title.replace(' ', '_')}`, 'newest points in queries of the ' +
    `dashboards, ${range.title}`, 'queries/s', {
    rate: ages.length / result.seconds,
    seconds: (settled.atMs - result.startedAtMs) / 1000,
    ...totals,
    stored,
    latency: latencyOf(ages),
    problems: [
      ...problems,
      ...lateProblems(panels.map(({ query, ageMs }) => ({ title: query.title, ageMs }))),
      ...pacedProblems(result, RATE * SECONDS)
    ]
  })
}

function jobOf (port: number): PacedJob {
  return {
    target: { host: '127.0.0.1', port, path: '/telemetry', format: 'json' },
    points: { satellites: SATELLITES, bodies: BODIES, batch: 1 },
    single: true,
    connections: CONNECTIONS,
    seconds: SECONDS,
    requestsPerSecond: RATE,
    probesPerSecond: 0,
    probePath: ''
  }
}

async function quietPanels (asker: Database, range: typeof RANGES[number]): Promise<Watched[]> {
  const panels = allQueries().map((query) => ({ query, known: new Set<string>(), ageMs: NaN }))
  for (let turn = 0; turn < QUIET_TURNS; turn++) {
    for (const { query, known } of panels) for (const cell of await cellsOf(asker, query, range)) known.add(cell)
  }
  return panels
}

/** Polls the panels that have shown nothing new while the load runs. */
async function watch (
  asker: Database,
  range: typeof RANGES[number],
  panels: readonly Watched[],
  load: Promise<PacedResult>
): Promise<PacedResult> {
  const startMs = performance.now()
  const beside = { running: true }
  const sending = held(load.finally(() => { beside.running = false }))
  while (beside.running) {
    for (const panel of panels.filter(({ ageMs }) => Number.isNaN(ageMs))) {
      const cells = await cellsOf(asker, panel.query, range)
      if (cells.some((cell) => !panel.known.has(cell))) panel.ageMs = performance.now() - startMs
    }
    await wait(1)
  }
  return await sending
}

/** Queries that were late, and those that showed nothing new (NaN) although a healthy load causes it. */
export function lateProblems (panels: ReadonlyArray<{ readonly title: string, readonly ageMs: number }>): string[] {
  return panels.flatMap(({ title, ageMs }) => {
    if (Number.isNaN(ageMs)) return NEED_NOT_SHOW.has(title) ? [] : [`${title} shows nothing new`]
    return ageMs > AGE_MS_MAX ? [`${title} shows points after ${Math.round(ageMs)} ms, more than ${AGE_MS_MAX}`] : []
  })
}

/** What a result shows, except times. */
async function cellsOf (
  asker: Database,
  { sql, intervalMsMin }: DashboardQuery,
  range: typeof RANGES[number]
): Promise<string[]> {
  const to = new Date()
  const { rows } = await asker.query(expandMacros(sql, {
    from: new Date(to.getTime() - range.rangeMs),
    to,
    intervalMs: Math.max(range.intervalMs, intervalMsMin),
    variables: { satellite: satelliteOf(7, SATELLITES), silent: '1m', __searchFilter: '%' }
  }))
  return rows.flatMap((row) => Object.entries(row).flatMap(([column, value]) => value === null || value instanceof Date
    ? []
    : [`${column} ${JSON.stringify(value)}`]))
}
