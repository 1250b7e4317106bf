/** Queries for telemetry on PostgreSQL without TimescaleDB. */
import t, { type Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import type { Database } from '../../../lib/database/database.js'
import { QUERY_SETTINGS } from '../../../lib/database/query-pool.js'
import { csvHeader, exportRows } from '../../../lib/queries/export-slices.js'
import { readLatestPoint } from '../../../lib/queries/latest-points.js'
import { Marks } from '../../../lib/queries/marks.js'
import { readSeries } from '../../../lib/queries/series-query.js'
import { makePartitions } from '../../../lib/schema/partitions.js'
import { METRICS, STREAM } from '../../support/points/built-in.js'
import { startTestPostgres } from '../../support/database/postgres.js'
import { BUSY, LEFT_MS, telemetryAnswers } from '../../support/answers/telemetry-answers.js'

const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 30_000 }
const NAMES = METRICS.map(({ name }) => name)

t.test('every answer is what was stored', async (t) => {
  const { url } = await startTestPostgres(t)
  const database = await connect(url, OPTIONS)
  t.teardown(() => database.close())
  await telemetryAnswers(t, database, null)

  t.test('a question about a satellite is one statement, planned for the partitions that it reads', async (t) => {
    await onePlan(t, url)
  })

  t.test('an export in slices has every row once, in order, however dense', async (t) => {
    const db = await connect(url, OPTIONS)
    t.teardown(() => db.destroy())
    await database.query(`
      INSERT INTO telemetry (time, satellite_id, battery_charge_percent)
      SELECT now() - interval '20 minutes' + i * interval '10 us', 'DENSE-' || i % 7, i
      FROM generate_series(1, 90000) i`)
    await db.query(QUERY_SETTINGS)
    const filter = {
      satellite: null, stream: STREAM, metrics: METRICS, fromMicros: -60e15, toMicros: (Date.now() + 60_000) * 1000
    }
    let text = ''
    for await (const chunk of exportRows(db, filter, 'csv')) text += chunk.toString()
    const lines = text.trimEnd().split('\n')
    const { rows: [stored] } = await database.query<{ count: number }>('SELECT count(*)::integer FROM telemetry')
    t.equal(lines.length, stored?.count)
    t.equal(new Set(lines).size, lines.length)
    t.strictSame(lines, [...lines].sort(), 'by time and id')
    t.equal(csvHeader(filter), `time,satellite_id,${NAMES.join(',')}\n`)

    const ofOne = { ...filter, satellite: 'DENSE-3', metrics: METRICS.slice(0, 1) }
    let json = ''
    for await (const chunk of exportRows(db, ofOne, 'ndjson')) json += chunk.toString()
    const points = json.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    t.equal(points.length, 12_857)
    t.match(points[1], { time: /^2.*Z$/, satellite_id: 'DENSE-3', [NAMES[0] ?? '']: 10 })
  })
})

async function onePlan (t: Test, url: string): Promise<void> {
  const nowMs = Date.now()
  const own = await connect(url, OPTIONS)
  t.teardown(() => own.close())
  await makePartitions(own, Array.from({ length: 12 }, (_, day) => nowMs - day * DAY_MS))
  await own.query('SET enable_seqscan = off')
  await own.query('SELECT orbitstream_roll_up_again(100000)')
  const { db, plans } = remembering(own)
  const marks = new Marks()
  const latest = async (): Promise<unknown> => (
    await readLatestPoint(db, { stream: STREAM, metrics: METRICS }, BUSY, marks))
  const past = async (days: number): Promise<unknown> => await readSeries(db, {
    satellite: BUSY,
    stream: STREAM,
    metrics: METRICS,
    fromMicros: (nowMs - days * DAY_MS) * 1000,
    toMicros: nowMs * 1000,
    pointsMax: 20
  }, LEFT_MS, marks)
  // Today and three days to come; a rollup of each of 12 days; and some more if a day has just begun.
  const questions = [
    { ask: latest, partitionsMax: 5 },
    { ask: async () => await past(0.01), partitionsMax: 4 },
    { ask: async () => await past(11), partitionsMax: 18 }
  ]
  await latest()
  await plans()
  const answers: unknown[] = []
  for (const { ask, partitionsMax } of questions) {
    answers.push(await ask())
    const [plan = '', ...others] = await plans()
    t.strictSame(others, [])
    const partitions = partitionsIn(plan)
    t.ok(partitions.length <= partitionsMax && partitions.length > 0, partitions.join(' '))
    t.notMatch(plan, /"telemetry_\w+_idx"[^{}]*"Index Cond":"[^"]*satellite_id/, 'its scan grows with the table')
  }

  await own.query(`UPDATE rollup_state SET closing = closing - interval '31 days',
    latest_watermark = latest_watermark - interval '31 days', watermark = watermark - interval '31 days'`)
  await own.query('DELETE FROM satellites_last; DELETE FROM rollup_10s; DELETE FROM rollup_1m')
  for (const [index, { ask }] of questions.entries()) {
    t.same(rounded(await ask()), rounded(answers[index]), 'the same if the marks have moved back')
  }
}

/** A session that remembers what it was asked. */
function remembering (database: Database): { readonly db: Database, readonly plans: () => Promise<string[]> } {
  let asked: Array<readonly [string, readonly unknown[] | undefined]> = []
  const query: Database['query'] = async (text, values) => {
    asked.push([text, values])
    return await database.query(text, values)
  }
  return {
    db: Object.assign(Object.create(database) as Database, { query }),
    plans: async () => {
      const plans: string[] = []
      for (const [text, values] of asked) {
        plans.push(JSON.stringify((await database.query(`EXPLAIN (FORMAT JSON) ${text}`, values)).rows))
      }
      asked = []
      return plans
    }
  }
}

function partitionsIn (plan: string): string[] {
  return [...new Set(Array.from(plan.matchAll(/"Relation Name":"(\w+_p\d+)"/g), ([, name = '']) => name))]
}

/** Averages of the same values may differ in their last digits. */
function rounded (answer: unknown): unknown {
  return JSON.parse(JSON.stringify(answer, (_, value: unknown) => (
    typeof value === 'number' ? Number(value.toPrecision(12)) : value)))
}
