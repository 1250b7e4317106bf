/** The order of measurements: rounds, each of which measures everything once, ceilings and loads beside one another. */
import { measureDrop } from './ceilings/http-drop.js'
import { measureFdatasync } from './ceilings/fdatasync.js'
import { measureCopy } from './ceilings/raw-copy.js'
import type { Group } from './result.js'
import { measureDashboards } from './scenarios/dashboards.js'
import { measureGrowth } from './scenarios/growth.js'
import { measureHttp } from './scenarios/http.js'
import { measureLatency } from './scenarios/latency.js'
import { measureQueries } from './scenarios/queries.js'
import { measureSpool } from './scenarios/spool.js'
import { runThroughput } from './scenarios/throughput.js'
import { measureUdp, measureUdpCount } from './scenarios/udp.js'
import type { Results, Session } from './session.js'

const FDATASYNC_SECONDS = 1
/** Code that was never run is slow at first; a server that runs for days does not show that. */
const WARM_UP_SECONDS = 1

async function measureCeilings (session: Session, results: Results): Promise<void> {
  const { server, plan } = session
  results.add('ceilings', 'ceiling_fdatasync', 'fdatasync of 4 KB', 'syncs/s', measureFdatasync(server.dataDir, FDATASYNC_SECONDS))
  results.add('ceilings', 'ceiling_copy', 'raw COPY, one connection', 'points/s', await measureCopy(session))
  results.add('ceilings', 'ceiling_drop_1000', 'HTTP, decoded and dropped, 1000 a request', 'points/s', await measureDrop(session, 1000))
  results.add('ceilings', 'ceiling_drop_1', 'HTTP, decoded and dropped, one a request', 'points/s', await measureDrop(session, 1))
  if (plan.thorough) results.add('ceilings', 'ceiling_udp', 'UDP, counted and dropped, nothing missing', 'points/s', await measureUdpCount(session, results.bestRate('ceiling_udp')))
}

const MEASURES: Readonly<Record<Group, (session: Session, results: Results) => Promise<void>>> = {
  ceilings: measureCeilings,
  http: measureHttp,
  spool: measureSpool,
  udp: measureUdp,
  latency: measureLatency,
  queries: measureQueries,
  growth: measureGrowth,
  dashboards: measureDashboards
}

/** @param tell says how far it is */
export async function runRounds (session: Session, results: Results, tell: (text: string) => void): Promise<void> {
  const { runs, groups } = session.plan
  tell('warming up')
  for (const batch of [1, 1000]) await runThroughput(session, { format: 'json', batch, seconds: WARM_UP_SECONDS })
  for (let round = 1; round <= runs; round++) {
    for (const group of groups) {
      tell(`round ${round} of ${runs}: ${group}`)
      await MEASURES[group](session, results)
    }
  }
}
