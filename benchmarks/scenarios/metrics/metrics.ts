/**
 * Points of 3, 20, 50 and 250 metrics: JSON batches and raw COPY of the same rows, all values filled and one in ten, as
 * values per second. With 250 also 1,000 satellites with limits of all metrics and an override each, and without.
 */
import { parseCatalogue } from '../../../lib/catalogue/catalogue-file.js'
import { measureCopy } from '../../ceilings/raw-copy.js'
import type { HttpJob } from '../../load/jobs.js'
import { satelliteOf, type PointSet, type Wide } from '../../points.js'
import type { RunRecord } from '../../result.js'
import type { Results, Session } from '../../session.js'
import { empty } from '../../stored.js'
import { valuesPerPoint, wideCatalogue, wideNames, wideValue } from '../../wide/wide-points.js'
import { compareWide } from '../../wide/wide-stored.js'
import { withServer } from '../../rigs/own-server.js'
import { runJob } from '../throughput.js'
import { WARM_UP_SECONDS } from '../warm-up.js'

const COUNTS = [3, 20, 50, 250]
const SPARSE = 10
const SATELLITES = 100
const LIMITED_SATELLITES = 1_000
/** A set of limits has at most 4 MB. */
const OVERRIDDEN_METRICS = 40
/** Enough that the server never waits for the load. */
const VALUES_ON_THEIR_WAY = 150_000
/** Different bodies of a connection. */
const BODIES = 2
/** A request has as many points as make this many values, at most 1,000. */
const VALUES_PER_REQUEST = 10_000
const BATCH_MAX = 1_000
/** Of a COPY, as of a worker's under full load. */
const COPY_VALUES = 2_000_000
const COPY_ROWS_MAX = 40_000

export async function measureMetrics (session: Session, results: Results): Promise<void> {
  for (const metrics of COUNTS) {
    const wide = { metrics, oneIn: 1 }
    await withServer(session, { files: { CATALOGUE: wideCatalogue(wide) } }, async (own) => {
      await sendWide(own, wide, SATELLITES, WARM_UP_SECONDS)
      await measureCount(own, metrics, results)
      if (metrics === Math.max(...COUNTS)) await measureLimits(own, wide, results)
    })
  }
}

async function measureCount (own: Session, metrics: number, results: Results): Promise<void> {
  const add = (name: string, title: string, run: RunRecord): void => {
    results.add('metrics', name, `${metrics} metrics, ${title}`, 'values/s', run)
  }
  for (const { suffix, filled, oneIn } of metrics % SPARSE === 0 ? [DENSE, ONE_IN_TEN] : [DENSE]) {
    const wide = { metrics, oneIn }
    add(`metrics_copy_${metrics}${suffix}`, `raw COPY${filled}`, await copyWide(own, wide))
    add(`metrics_json_${metrics}${suffix}`, `JSON${filled}`, await sendWide(own, wide, SATELLITES, own.plan.seconds))
  }
}

const DENSE = { suffix: '', filled: '', oneIn: 1 } as const
const ONE_IN_TEN = { suffix: '_sparse', filled: ', one value in ten', oneIn: SPARSE } as const

async function measureLimits (own: Session, wide: Wide, results: Results): Promise<void> {
  for (const { suffix, title, limits } of [
    { suffix: '_off', title: 'without limits', limits: { default: {} } },
    { suffix: '', title: 'with limits and 1,000 overrides', limits: limitsOf(wide) }
  ]) {
    await putLimits(own, limits)
    results.add('metrics', `metrics_limits${suffix}`, `${wide.metrics} metrics, 1,000 satellites, ${title}`, 'values/s',
      await sendWide(own, wide, LIMITED_SATELLITES, own.plan.seconds))
  }
}

/** All metrics have limits, and each satellite others for some of them. No value breaks one. */
function limitsOf (wide: Wide): object {
  const names = wideNames(wide)
  const both = (low: number, high: number): object => ({ low: { critical: low }, high: { critical: high } })
  const own = Object.fromEntries(names.slice(0, OVERRIDDEN_METRICS).map((name) => [name, both(1, 900)]))
  return {
    default: Object.fromEntries(names.map((name) => [name, both(0, 1_000)])),
    overrides: Object.fromEntries(Array.from({ length: LIMITED_SATELLITES }, (_, satellite) => (
      [satelliteOf(satellite, LIMITED_SATELLITES), own])))
  }
}

async function putLimits ({ server }: Session, limits: object): Promise<void> {
  const answer = await fetch(`${server.url}/limits`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', 'if-match': '*' },
    body: JSON.stringify(limits)
  })
  if (!answer.ok) throw new Error(`the limits were refused: ${await answer.text()}`)
}

/** The rate is that of values. */
const inValues = (run: RunRecord, wide: Wide): RunRecord => ({ ...run, rate: run.rate * valuesPerPoint(wide) })

async function copyWide (own: Session, wide: Wide): Promise<RunRecord> {
  const { metrics } = wide
  const parsed = parseCatalogue(wideCatalogue(wide))
  if (!parsed.ok) throw new Error(`the catalogue has faults: ${JSON.stringify(parsed.faults)}`)
  const rows = Math.min(COPY_ROWS_MAX, COPY_VALUES / metrics)
  return inValues(await measureCopy(own, {
    schema: parsed.catalogue.telemetry.schema,
    rows: Math.floor(rows),
    satellites: SATELLITES,
    valuesOf: (number) => Float64Array.from({ length: metrics }, (_, metric) => wideValue(number, metric, wide))
  }), wide)
}

async function sendWide (own: Session, wide: Wide, satellites: number, seconds: number): Promise<RunRecord> {
  await empty(own.db)
  const batch = Math.min(BATCH_MAX, Math.floor(VALUES_PER_REQUEST / valuesPerPoint(wide)))
  const connections = Math.ceil(VALUES_ON_THEIR_WAY / batch / valuesPerPoint(wide))
  const points: PointSet = { satellites, bodies: connections * BODIES, batch, wide }
  const job: HttpJob = {
    target: { host: '127.0.0.1', port: own.server.port, path: '/telemetry/batch', format: 'json' },
    points,
    single: false,
    connections,
    seconds
  }
  return inValues(await runJob(own, job, (result) => compareWide(own.db, points, wide, result)), wide)
}
