/**
 * The query API on many rows while 10,000 points/s come in: four questions of a page, one after another, and an export
 * of all rows to a reader that takes what it gets.
 *
 * Most rows are as dense as the points that come in and end now, so that the last 15 minutes are what they would be on
 * a server that has run for long; the others are spread over 30 days.
 */
import { request } from 'undici'
import { askInTurn, watched } from '../../rigs/asking.js'
import { runIncoming, TEN_THOUSAND, type Beside } from '../../rigs/incoming.js'
import { watchMemory } from '../../rigs/memory-watch.js'
import { satelliteOf } from '../../points.js'
import type { Results, Session } from '../../session.js'
import { latencyOf } from '../../statistics.js'
import { countRows, empty } from '../../stored.js'
import { fillTable } from '../fill.js'
import { readExport, type ExportedRows } from './export.js'

const { satellites: SATELLITES, batch, requestsPerSecond } = TEN_THOUSAND
const POINTS_PER_SECOND = batch * requestsPerSecond
/** With 20 million rows, the last half hour. */
const RECENT_SHARE = 0.9
const MINUTE_SECONDS = 60
/** A little less, so that the first day is not one that retention drops meanwhile. */
const SPAN_SECONDS = 29.5 * 86_400
/** Of satellites asked for, one after another: far apart. */
const STEP = 137

interface Question {
  readonly name: string
  readonly title: string
  readonly path: (satellite: string, nowMs: number) => string
  /** A field that every right answer has, and a list in it that is not empty. */
  readonly list: string
}

const ago = (nowMs: number, seconds: number): string => new Date(nowMs - seconds * 1000).toISOString()

const QUESTIONS: readonly Question[] = [
  { name: 'satellite', title: 'last values of a satellite', path: (id) => `/satellites/${id}`, list: 'streams' },
  {
    name: 'minutes',
    title: 'its last 15 minutes',
    path: (id, nowMs) => `/satellites/${id}/telemetry?from=${ago(nowMs, 15 * MINUTE_SECONDS)}`,
    list: 'time_ms'
  },
  {
    name: 'days',
    title: '30 days of it, 1,000 points',
    path: (id, nowMs) => `/satellites/${id}/telemetry?from=${ago(nowMs, SPAN_SECONDS)}&points=1000`,
    list: 'time_ms'
  },
  { name: 'fleet', title: 'states of 1,000 satellites', path: () => '/satellites?limit=1000', list: 'satellites' }
]

export async function measureApi (session: Session, results: Results): Promise<void> {
  const { db, plan } = session
  if (await countRows(db) < plan.apiRows) await fill(session)
  await ask(session, results)
  await measureExport(session, results)
}

async function fill ({ db, plan }: Session): Promise<void> {
  await empty(db)
  const recent = Math.round(plan.apiRows * RECENT_SHARE)
  const spanSeconds = recent / POINTS_PER_SECOND
  await fillTable(db, {
    rows: plan.apiRows - recent,
    satellites: SATELLITES,
    spanSeconds: SPAN_SECONDS - spanSeconds,
    untilSecondsAgo: spanSeconds
  })
  await fillTable(db, { rows: recent, satellites: SATELLITES, spanSeconds })
}

async function ask (session: Session, results: Results): Promise<void> {
  const { plan, server } = session
  const problems = new Set<string>()
  let times: number[][] = []
  let turn = 0
  const questions = QUESTIONS.map(({ title, path, list }) => async () => {
    const satellite = satelliteOf(turn++ * STEP, SATELLITES)
    const { statusCode, body } = await request(`${server.url}${path(satellite, Date.now())}`)
    const text = await body.text()
    if (statusCode !== 200) problems.add(`${title}: ${statusCode} ${text.slice(0, 200)}`)
    else if (!new RegExp(`"${list}": ?[[{][^\\]}]`).test(text)) problems.add(`${title}: no ${list} in the answer`)
  })
  const incoming = await runIncoming(session, { ...TEN_THOUSAND, seconds: plan.besideSeconds }, async (sending) => {
    times = await askInTurn(questions, sending)
    return 0
  })
  for (const [position, { name, title }] of QUESTIONS.entries()) {
    const own = times[position] ?? []
    results.add('api', `api_${name}`, title, 'answers/s', {
      ...incoming,
      rate: own.length / incoming.seconds,
      latency: latencyOf(own),
      problems: [...incoming.problems, ...problems]
    })
  }
}

async function measureExport (session: Session, results: Results): Promise<void> {
  const { db, server, plan } = session
  const load = { ...TEN_THOUSAND, seconds: plan.besideSeconds }
  results.add('api', 'api_incoming', '202 at 10,000 points/s', 'points/s', await runIncoming(session, load))
  const rows = await countRows(db)
  const exported: ExportedRows[] = []
  let peakBytes = {}
  const exporting: Beside = async (sending) => {
    const load = watched(sending)
    peakBytes = await watchMemory(session, async () => {
      do exported.push(await readExport(`${server.url}/export?from=${ago(Date.now(), 2 * SPAN_SECONDS)}`))
      while (!load.isOver)
    })
    return 0
  }
  const incoming = await runIncoming(session, load, exporting)
  results.add('api', 'api_incoming_export', '202 at 10,000 points/s, beside an export', 'points/s', incoming)
  const [seconds, all] = exported.reduce(([s, r], each) => [s + each.seconds, r + each.rows], [0, 0])
  const incomplete = exported.filter((each) => each.rows < rows)
  results.add('api', 'api_export', 'export of all rows as CSV', 'rows/s', {
    rate: all / seconds,
    seconds,
    sent: 0,
    acknowledged: 0,
    stored: 0,
    peakBytes,
    problems: incomplete.map((each) => `an export had ${each.rows} of ${rows} rows`)
  })
}
