/** The function orbitstream_limits_of chooses what the server itself judges by. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import t from 'tap'
import { LimitResolver } from '../../../lib/limits/resolver.js'
import type { LimitSet, MetricLimits } from '../../../lib/limits/limit-set.js'
import { connect } from '../../../lib/database/connection.js'
import { migrate } from '../../../lib/schema/migrate.js'
import { DAY_MS } from '../../../lib/config/setting-types.js'
import { METRICS, METRIC_COUNT, TELEMETRY } from '../../support/points/built-in.js'
import { silentLog, startTestPostgres } from '../../support/database/postgres.js'

const server = await startTestPostgres(t)
const database = await connect(server.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
t.teardown(() => database.close())
await migrate(database, { retentionMs: DAY_MS, log: silentLog })

type Bound = 'low_warning' | 'low_critical' | 'high_warning' | 'high_critical'
type Row = Record<'satellite_id' | 'metric', string> & Record<Bound, number | null> & { states: unknown }

async function limitsOf (set: LimitSet, ids: readonly string[]): Promise<Row[]> {
  return (await database.query<Row>('SELECT * FROM orbitstream_limits_of($1, $2)', [JSON.stringify(set), ids])).rows
}

/** Satellite, metric, four limits; sorted. */
function lines (rows: readonly Row[]): string[] {
  return rows.map((row) => JSON.stringify([
    row.satellite_id, row.metric, row.low_warning, row.low_critical, row.high_warning, row.high_critical,
    row.states
  ])).sort()
}

/** What the resolver of the server chooses, in the same form. */
function expected (set: LimitSet, ids: readonly string[]): string[] {
  const resolver = new LimitResolver(set, TELEMETRY.metrics)
  const chosen = Array.from({ length: METRIC_COUNT }, () => 0)
  return lines([...new Set(ids)].flatMap((id) => {
    resolver.resolve(id, chosen)
    return METRICS.flatMap(({ name }, metric) => {
      const limits: MetricLimits | undefined = resolver.entries[chosen[metric]!]!.get(metric)
      return limits === undefined
        ? []
        : [{
            satellite_id: id,
            metric: name,
            low_warning: limits.low?.warning ?? null,
            low_critical: limits.low?.critical ?? null,
            high_warning: limits.high?.warning ?? null,
            high_critical: limits.high?.critical ?? null,
            states: limits.states ?? null
          }]
    })
  }))
}

const METRIC = METRICS[0].name

t.test('by example', async (t) => {
  const set = {
    default: { [METRIC]: { low: { warning: 20, critical: 10 } } },
    overrides: {
      'SAT-00*': { [METRIC]: { low: { critical: 5 } } },
      'SAT-0042': { [METRIC]: {} },
      '*_%\\': { [METRIC]: { high: { warning: 1.5 } } },
      STATE: { [METRIC]: { states: { critical: ['LOST', true] } } }
    }
  }
  t.same(lines(await limitsOf(set, ['SAT-0001', 'SAT-0042', 'OTHER', 'x_%\\', 'xyz\\', 'STATE'])), [
    ['OTHER', METRIC, 20, 10, null, null, null], ['SAT-0001', METRIC, null, 5, null, null, null],
    ['SAT-0042', METRIC, null, null, null, null, null], ['x_%\\', METRIC, null, null, 1.5, null, null],
    ['xyz\\', METRIC, 20, 10, null, null, null],
    ['STATE', METRIC, null, null, null, null, { critical: ['LOST', true] }]
  ].map((row) => JSON.stringify(row)).sort())
  t.same(await limitsOf({ default: {}, overrides: {} }, ['A']), [])
})

t.test('as the resolver', async () => {
  const limits = fc.record(
    { low: fc.record({ critical: fc.integer({ min: 0, max: 9 }) }) },
    { requiredKeys: [] }) as fc.Arbitrary<MetricLimits>
  const entry = fc.dictionary(fc.constantFrom(...METRICS.map(({ name }) => name)), limits, { maxKeys: METRIC_COUNT })
  const text = (characters: string[]): fc.Arbitrary<string> => fc.array(
    fc.constantFrom(...characters), { minLength: 1, maxLength: 5 }).map((parts) => parts.join(''))
  const sets = fc.record({
    default: entry, overrides: fc.dictionary(text(['a', 'b', 'ä', '_', '%', '\\', '*', '*']), entry, { maxKeys: 12 })
  })
  await fc.assert(fc.asyncProperty(sets, fc.array(
    text(['a', 'b', 'ä', '_', '%', '\\', '*']), { minLength: 1, maxLength: 8 }), async (set, ids) => {
    assert.deepEqual(lines(await limitsOf(set, ids)), expected(set, ids))
  }), { numRuns: 300 })
})

interface Node {
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Join Filter'?: number
  readonly Plans?: readonly Node[]
}

/** Rows that were looked at anywhere in a plan. */
function work (node: Node): number {
  const here = ((node['Rows Removed by Join Filter'] ?? 0) + node['Actual Rows']) * node['Actual Loops']
  return here + (node.Plans ?? []).reduce((sum, child) => sum + work(child), 0)
}

t.test('does not hold every satellite against every pattern', async (t) => {
  const { rows: [row] } = await database.query<{ body: string, settings: string[] }>(
    "SELECT prosrc AS body, proconfig AS settings FROM pg_proc WHERE proname = 'orbitstream_limits_of'")
  const body = row!.body.replaceAll('limits ->', '$1::jsonb ->').replace('unnest(satellites)', 'unnest($2::text[])')
  const ids = Array.from({ length: 1000 }, (_, index) => `GROUP-${index % 700}-${index}`)
  for (const patternOf of [
    (index: number) => `GROUP-${index}-*`, (index: number) => `*-${index}`, (index: number) => `GROUP-*-${index}`,
    (index: number) => `*-${index}-*-${index}`
  ]) {
    const set = {
      default: {},
      overrides: Object.fromEntries(Array.from({ length: 500 }, (_, index) => [patternOf(index), { [METRIC]: {} }]))
    }
    const settings = row!.settings as string[] | null ?? []
    await database.query(`BEGIN; ${settings.map(setting => `SET LOCAL ${setting.replace('=', " TO '")}'`).join('; ')}`)
    const plan = await database.query<{ 'QUERY PLAN': Array<{ Plan: Node }> }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) ${body}`, [JSON.stringify(set), ids])
    await database.query('ROLLBACK')
    const rows = work(plan.rows[0]!['QUERY PLAN'][0]!.Plan)
    t.ok(rows < 50_000, `${patternOf(1)}: ${rows} rows`)
  }
})
