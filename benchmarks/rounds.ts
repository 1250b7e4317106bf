/** The order of measurements: each round measures everything once, ceilings next to loads. */
import { measureDrop } from './ceilings/http-drop.js'
import { measureFdatasync } from './ceilings/fdatasync.js'
import { measureCopy } from './ceilings/raw-copy.js'
import type { Group } from './plan.js'
import { measureAccess } from './scenarios/access/access.js'
import { measureAggregates } from './scenarios/aggregates.js'
import { measureApi } from './scenarios/api/api.js'
import { measureDashboards } from './scenarios/dashboards.js'
import { measureFreshness } from './scenarios/freshness.js'
import { measureGrowth } from './scenarios/growth.js'
import { measureHttp } from './scenarios/http.js'
import { measureLatency } from './scenarios/latency.js'
import { measureMetrics } from './scenarios/metrics/metrics.js'
import { measurePage } from './scenarios/page/page.js'
import { measureQueries } from './scenarios/queries.js'
import { measureRollups } from './scenarios/rollups.js'
import { measureSpool } from './scenarios/spool.js'
import { measureSustained } from './scenarios/sustained.js'
import { measureUdp, measureUdpCount } from './scenarios/udp.js'
import { warmUp } from './scenarios/warm-up.js'
import type { Results, Session } from './session.js'

const FDATASYNC_SECONDS = 1

async function measureCeilings (session: Session, results: Results): Promise<void> {
  const { server, plan } = session
  const syncs = measureFdatasync(server.dataDir, FDATASYNC_SECONDS)
  results.add('ceilings', 'ceiling_fdatasync', 'fdatasync of 4 KB', 'syncs/s', syncs)
  results.add('ceilings', 'ceiling_copy', 'raw COPY, one connection', 'points/s', await measureCopy(session))
  results.add(
    'ceilings',
    'ceiling_drop_1000',
    'HTTP, decoded and dropped, 1000 a request',
    'points/s',
    await measureDrop(session, 1000)
  )
  results.add(
    'ceilings',
    'ceiling_drop_1',
    'HTTP, decoded and dropped, one a request',
    'points/s',
    await measureDrop(session, 1)
  )
  if (plan.thorough) {
    results.add(
      'ceilings',
      'ceiling_udp',
      'UDP, counted and dropped, nothing missing',
      'points/s',
      await measureUdpCount(session, results.medianRate('ceiling_udp'))
    )
  }
}

const MEASURES: Steps['measures'] = {
  ceilings: measureCeilings,
  http: measureHttp,
  sustained: measureSustained,
  spool: measureSpool,
  udp: measureUdp,
  latency: measureLatency,
  queries: measureQueries,
  growth: measureGrowth,
  rollups: measureRollups,
  aggregates: measureAggregates,
  dashboards: measureDashboards,
  freshness: measureFreshness,
  api: measureApi,
  metrics: measureMetrics,
  page: measurePage,
  access: measureAccess
}

export interface Steps {
  readonly warmUp: (session: Session) => Promise<void>
  readonly measures: Readonly<Record<Group, (session: Session, results: Results) => Promise<void>>>
}

/** Rejects with the name of the step that failed; the results so far are kept. @param tell reports progress */
export async function runRounds (
  session: Session,
  results: Results,
  tell: (text: string) => void,
  steps: Steps = { warmUp, measures: MEASURES }
): Promise<void> {
  const { runs, groups } = session.plan
  const step = async (name: string, work: () => Promise<void>): Promise<void> => {
    tell(name)
    try {
      await work()
    } catch (cause) {
      throw new Error(`${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }
  await step('warming up', () => steps.warmUp(session))
  for (let round = 1; round <= runs; round++) {
    for (const group of groups) {
      await step(`round ${round} of ${runs}: ${group}`, () => steps.measures[group](session, results))
    }
  }
}
