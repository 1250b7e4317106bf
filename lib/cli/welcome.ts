/** URLs and commands to try once the server is ready: one block for the terminal. */
import { resolve } from 'node:path'
import { METRICS } from '../../protocol/metrics.js'
import type { Config } from '../config/config.js'
import { reachable } from './address.js'

function psql ({ databaseUrl, dataDir }: Config): string {
  if (databaseUrl !== null) return 'psql "$DATABASE_URL"'
  const elsewhere = dataDir === resolve('data') ? '' : ` --data-dir '${dataDir.replaceAll("'", "'\\''")}'`
  return `psql "$(bin/orbitstream-ingest database-url${elsewhere})"`
}

/** @param port the actual port */
export function welcome (config: Config, port: number): string {
  const url = `http://${reachable(config.host)}:${port}`
  const token = config.apiTokens.length > 0 || config.apiTokensFile !== null
    ? " -H 'Authorization: Bearer <token>'"
    : ''
  const point = JSON.stringify({ satellite_id: 'TEST-01', [METRICS[0].name]: 87.5 })
  return `
OrbitStream is ready.

  Health    ${url}/health
  Metrics   ${url}/metrics
  Send      curl ${url}/telemetry${token} -H 'Content-Type: application/json' -d '${point}'
  Query     ${psql(config)}
  Stop      Ctrl-C
`
}
