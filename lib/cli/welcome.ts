/** URLs and commands to try once the server is ready: one block for the terminal. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Catalogue } from '../../protocol/catalogue.js'
import type { Config } from '../config/settings.js'
import { reachable } from './address.js'

/** In a clone the programs are in bin/ of the working directory; a package is usually installed below it. */
function databaseUrlCommand (): string {
  const inClone = resolve('bin') === fileURLToPath(new URL('../../../bin', import.meta.url))
  return `${inClone ? 'bin/orbitstream-ingest' : 'npx orbitstream'} database-url`
}

/** Command that opens the database. */
export function psqlHint ({ databaseUrl, dataDir }: Config): string {
  if (databaseUrl !== null) return 'psql "$DATABASE_URL"'
  const elsewhere = dataDir === resolve('data') ? '' : ` --data-dir '${dataDir.replaceAll("'", "'\\''")}'`
  return `psql "$(${databaseUrlCommand()}${elsewhere})"`
}

/** @param port the actual port */
export function welcome (config: Config, port: number, catalogue: Catalogue): string {
  const url = `http${config.tlsCert === null ? '' : 's'}://${reachable(config.host)}:${port}`
  const token = config.apiTokens.length > 0 || config.apiTokensFile !== null
    ? " -H 'Authorization: Bearer <token>'"
    : ''
  const point = JSON.stringify({ satellite_id: 'TEST-01', [catalogue.telemetry.live[0]?.name ?? '']: 87.5 })
  return `
OrbitStream is ready.

  Page      ${url}/
  Health    ${url}/health
  Metrics   ${url}/metrics
  Send      curl ${url}/telemetry${token} -H 'Content-Type: application/json' -d '${point}'
  Query     ${psqlHint(config)}
  Stop      Ctrl-C
`
}
