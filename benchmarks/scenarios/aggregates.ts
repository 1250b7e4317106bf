/**
 * Cost of continuous aggregates on TimescaleDB: points stored at fixed rates with the product's schema, and with its
 * aggregates dropped, in turn; the order alternates between rounds. See timescale/paced-store.ts.
 *
 * On the server of TEST_TIMESCALE_URL, otherwise in WebAssembly, where one session does everything: 100,000 points/s
 * exceeds its capacity, and half of that does not.
 */
import { formatCount } from '../../lib/config/setting-types.js'
import { prepareLoad } from '../load/child.js'
import type { RunRecord } from '../result.js'
import { withDirectory } from '../rigs/own-server.js'
import { OtherWork, type Results, type Session } from '../session.js'
import type { StoreJob, StoreResult } from '../timescale/paced-store.js'
import { REFRESHES } from '../timescale/purposes.js'

const RATES = [50_000, 100_000]
const SATELLITES = 100
const TRANSACTION_POINTS = 10_000
/** One round starts with each side. */
const ROUNDS_MAX = 2
/** Refreshes reach their steady state: each processes as many points as arrive between two of them. */
const LEAD_SECONDS = 40
/** Whole intervals of all refreshes. */
const SECONDS = 60

const SIDES = [
  { suffix: '', title: 'with continuous aggregates', aggregates: true },
  { suffix: '_off', title: 'without', aggregates: false }
]

export async function measureAggregates (session: Session, results: Results): Promise<void> {
  if (session.options.program !== null) {
    results.skip('continuous aggregates', 'they are measured with the code of this checkout')
    return
  }
  for (const rate of RATES) {
    const name = `aggregates_${rate}`
    const rounds = results.measurements.find((known) => known.name === name)?.runs.length ?? 0
    if (rounds === ROUNDS_MAX) return
    const order = rounds % 2 === 0 ? SIDES : [...SIDES].reverse()
    for (const { suffix, title, aggregates } of order) {
      const run = await storeAt(session, rate, aggregates)
      results.add(
        'aggregates',
        `${name}${suffix}`,
        `${formatCount(rate)} points/s, ${title}`,
        'points/s',
        run
      )
    }
  }
}

async function storeAt ({ options }: Session, rate: number, aggregates: boolean): Promise<RunRecord> {
  const url = process.env.TEST_TIMESCALE_URL ?? null
  return await withDirectory(options.dataRoot, async (directory) => {
    const job: StoreJob = {
      url,
      directory,
      aggregates,
      satellites: SATELLITES,
      transactionsPerSecond: rate / TRANSACTION_POINTS,
      transactionPoints: TRANSACTION_POINTS,
      leadSeconds: LEAD_SECONDS,
      seconds: SECONDS
    }
    const load = await prepareLoad<StoreResult>('./aggregates-sender.js', job)
    const other = new OtherWork()
    const result = await load.run()
    return recordOf(result, url, other.end(load.cpuSeconds))
  })
}

/** Refreshes that fall behind look cheap. */
const REFRESHED_SHARE_MIN = 0.8

export function recordOf (
  { cpuSeconds, refreshed, problems, ...result }: StoreResult,
  url: string | null,
  other: Pick<RunRecord, 'otherCpuShare'>
): RunRecord {
  const behind = REFRESHES in result.busySeconds && refreshed < result.stored * REFRESHED_SHARE_MIN
  return {
    ...result,
    rate: result.stored / result.seconds,
    ...cpuSeconds === null ? {} : { cpuSeconds },
    ...other,
    problems: [
      ...problems,
      ...behind ? [`refreshes processed ${refreshed} points while ${result.stored} were stored`] : []
    ],
    notes: [url === null ? 'TimescaleDB in WebAssembly, one session, refreshes in line' : 'TimescaleDB on a server']
  }
}
