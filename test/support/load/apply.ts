/**
 * A catalogue applied under load: a metric joins a stream with a month of partitions, and a stream is added, while
 * points keep coming and a dashboard's query holds the table. No request is refused, every acknowledged point is stored
 * once, and the rollups are right before and after.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BUILT_IN, Catalogue, TELEMETRY, type Metric } from '../../../protocol/catalogue.js'
import { catalogueJson } from '../../../lib/catalogue/catalogue-json.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { connect } from '../../../lib/database/connection.js'
import type { Database } from '../../../lib/database/database.js'
import { conservationErrorPoints, drained } from '../programs/health.js'
import { compareWithDatabase, JournalClient, type Verdict } from './journal-client.js'
import type { Owner } from '../owner.js'
import { startTestPostgres, temporaryDirectory } from '../database/postgres.js'
import { startIngest, startProgram, type Ingest } from '../programs/program.js'
import { pointStore } from '../database/stored-rows.js'

const POINTS_PER_REQUEST = 50
/** Of a retention of 30 days. */
const HISTORY_DAYS = 28
const HISTORY_POINTS = 20_000
const BEFORE_MS = 3_000
/** A server ends the sessions of readers that are in the way for a minute. */
const HELD_MS_MAX = 55_000
/** Numbers of the second host's points start here. */
const SECOND_FIRST_NUMBER = 1_000_000_000

export interface ApplyOptions {
  /** Under load: half of it, at most a minute, while a query holds the table. */
  readonly durationMs: number
  readonly pointsPerSecond: number
  readonly print: (line: string) => void
}

export interface ApplyVerdict extends Verdict {
  readonly acknowledged: number
  /** Requests that were not acknowledged, by cause. */
  readonly failures: Readonly<Record<string, number>>
  /** Of the host that served throughout: from a request to its 202, in milliseconds. */
  readonly answers: ReadonlyArray<{ readonly when: string, readonly p99Ms: number, readonly maxMs: number }>
  readonly conservationErrorPoints: number
  /** What else is wrong: sentences. */
  readonly faults: readonly string[]
}

const extra: Metric = {
  id: 4,
  name: 'bus_voltage',
  type: 'float',
  states: [],
  aliases: [],
  title: 'Bus voltage',
  unit: 'V',
  description: '',
  resolution: null,
  range: null,
  limits: {},
  simulation: { kind: 'walk', between: [24, 32], beyond: null },
  retired: false
}
const [telemetry] = BUILT_IN.definitions
const GROWN = { ...telemetry!, metrics: [...telemetry!.metrics, extra] }
const POWER = { ...telemetry!, id: 2, name: 'power', title: 'Power', metrics: [{ ...extra, id: 1 }] }
const WITH_METRIC = new Catalogue([GROWN])
const WITH_STREAM = new Catalogue([GROWN, POWER])

export async function runApply (owner: Owner, options: ApplyOptions): Promise<ApplyVerdict> {
  const { durationMs, pointsPerSecond, print } = options
  const postgres = await startTestPostgres(owner, { fsync: true })
  const directory = await temporaryDirectory(owner)
  const start = async (...more: string[]): Promise<Ingest> => await startIngest(owner, {
    dataDir: await temporaryDirectory(owner), databaseUrl: postgres.url, args: ['--workers', '2', ...more]
  })
  const first = await start()
  const db = await connect(postgres.url, { applicationName: 'test', connectTimeoutMs: 5_000 })
  owner.teardown(async () => await db.close())
  await fillHistory(db)
  const faults: string[] = []
  const answers: Array<ApplyVerdict['answers'][number]> = []
  const client = new JournalClient({ url: first.url, pointsPerRequest: POINTS_PER_REQUEST })
  client.start(pointsPerSecond)
  await client.acknowledgedMore(pointsPerSecond)
  const endPhase = (when: string): void => {
    const { answerMicros } = client
    answers.push({ when, p99Ms: answerMicros.percentile(99) / 1000, maxMs: answerMicros.max / 1000 })
    answerMicros.reset()
  }
  const apply = async (catalogue: Catalogue, what: string): Promise<string> => {
    const file = join(directory, 'catalogue.json')
    await writeFile(file, JSON.stringify(catalogueJson(catalogue)))
    const startMs = performance.now()
    const program = startProgram(owner, 'orbitstream-ingest', [
      'catalogue', 'apply', file, '--database-url', postgres.url])
    if (await program.exit !== 0) faults.push(`adding a ${what}: ${program.stderr}`)
    print(`adding a ${what} took ${Math.round(performance.now() - startMs)} ms`)
    return file
  }
  faults.push(...await wrongRollups(db, 'before'))
  await delay(BEFORE_MS)
  endPhase('before')
  const heldMs = Math.min(durationMs / 2, HELD_MS_MAX)
  const release = await holdTable(postgres.url)
  const held = apply(WITH_METRIC, `metric, while a query holds the table for ${Math.round(heldMs / 1000)} s`)
  await delay(heldMs)
  if (await isColumn(db, extra.name)) faults.push('the column was added while a query held the table')
  await release()
  await held
  endPhase('while the metric was added')
  const file = await apply(WITH_STREAM, 'stream')
  const second = await start('--catalogue', file)
  const newer = new JournalClient({
    url: second.url, pointsPerRequest: POINTS_PER_REQUEST, firstNumber: SECOND_FIRST_NUMBER
  })
  newer.start(pointsPerSecond / 10)
  await sendNew(second.url)
  await delay(durationMs - heldMs)
  endPhase('while and after the stream was added')
  await Promise.all([client.stop(), newer.stop()])
  await Promise.all([drained(first.url), drained(second.url)])
  print('all points are stored')
  faults.push(...await wrongRollups(db, 'after'))
  const errorPoints = await conservationErrorPoints(first.url) + await conservationErrorPoints(second.url)
  faults.push(...[first, second].flatMap(loggedErrors), ...await missingValues(db))
  const failures = [...client.failures, ...newer.failures]
  return {
    ...await compareWithDatabase(db, [client, newer]),
    acknowledged: client.acknowledged.size + newer.acknowledged.size,
    failures: Object.fromEntries(failures),
    answers,
    conservationErrorPoints: errorPoints,
    faults
  }
}

function loggedErrors ({ program }: Ingest): string[] {
  const errors = program.lines.filter(({ level }) => level === 'error')
  return errors.map(({ msg }) => `the log says: ${String(msg)}`)
}

async function missingValues (db: Database): Promise<string[]> {
  const faults: string[] = []
  for (const { name } of WITH_STREAM.streams) {
    const { rows } = await db.query(`SELECT FROM ${name} WHERE satellite_id = 'NEW' AND ${extra.name} = 28`)
    if (rows.length !== 1) faults.push(`the new metric is stored ${rows.length} times in ${name}`)
  }
  return faults
}

/** A month of points in partitions of their own, stored as a worker does. */
async function fillHistory (db: Database): Promise<void> {
  const store = await pointStore(db, { spool: 'history' })
  const [endMs, stepMs] = [Date.now() - DAY_MS, HISTORY_DAYS * DAY_MS / HISTORY_POINTS]
  await store(Array.from({ length: HISTORY_POINTS }, (_, n) => (
    { satellite: `OLD-${n % 100}`, timeMs: endMs - n * stepMs, values: [n % 100, n, -60] })))
}

/** As a dashboard's query does; ends with the returned function. */
async function holdTable (url: string): Promise<() => Promise<void>> {
  const session = await connect(url, { applicationName: 'a dashboard', connectTimeoutMs: 5_000 })
  await session.query(`BEGIN; SET LOCAL ROLE orbitstream_reader; SELECT count(*) FROM ${TELEMETRY} WHERE time > now()`)
  return async () => {
    await session.query('ROLLBACK')
    await session.close()
  }
}

async function isColumn (db: Database, column: string): Promise<boolean> {
  const { rows } = await db.query("SELECT FROM pg_attribute WHERE attrelid = 'telemetry'::regclass AND attname = $1",
    [column])
  return rows.length > 0
}

async function sendNew (url: string): Promise<void> {
  for (const path of ['/telemetry', '/telemetry/power']) {
    const answer = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ satellite_id: 'NEW', [extra.name]: 28 })
    })
    if (answer.status !== 202) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  }
}

/** Compares both rollups with the points, in one snapshot. Live views are exact at any time, so nothing is awaited. */
async function wrongRollups (db: Database, when: string): Promise<string[]> {
  const metric = telemetry!.metrics[0]!.name
  const faults: string[] = []
  for (const [view, width] of [['telemetry_10s', '10 seconds'], ['telemetry_1m', '1 minute']] as const) {
    const { rows: [counts] } = await db.query<{ buckets: number, wrong: number }>(`
      WITH truth AS (
        SELECT time_bucket('${width}', time) AS bucket, satellite_id, count(*) AS points,
               max(${metric}) AS greatest, count(${metric}) AS filled
        FROM ${TELEMETRY} GROUP BY 1, 2
      )
      SELECT count(*)::int AS buckets, count(*) FILTER (
               WHERE (truth.points, truth.greatest, truth.filled) IS DISTINCT FROM
               (rolled.points::bigint, rolled.${metric}_max, rolled.${metric}_count::bigint))::int AS wrong
      FROM truth FULL JOIN ${view} rolled USING (bucket, satellite_id)`)
    if (counts === undefined || counts.buckets === 0 || counts.wrong > 0) {
      faults.push(`${view} ${when}: ${counts?.wrong ?? 0} of ${counts?.buckets ?? 0} buckets are wrong`)
    }
  }
  return faults
}
