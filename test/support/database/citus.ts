/** Databases on the nodes of a Citus cluster: that of TEST_CITUS_URL, a database of the coordinator. */
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import type { DatabaseConnection } from '../../../lib/database/database.js'

const SERVER = process.env.TEST_CITUS_URL ?? null

/** Why tests are skipped; false: they are not. */
export const NO_CITUS = SERVER === null
  ? 'set TEST_CITUS_URL to a database of a Citus coordinator that has worker nodes'
  : false

interface Node {
  readonly host: string
  readonly port: number
}

/** Its URL. The database is empty but for the extension, exists on all nodes, and is removed with the test. */
export async function createCitusDatabase (t: Test): Promise<string> {
  const server = new URL(SERVER ?? '')
  const owner = await openCitus(server.href)
  const name = `orbitstream_${randomUUID().replaceAll('-', '')}`
  t.teardown(async () => { await owner.close() })
  const { rows: nodes } = await owner.query<Node>(
    'SELECT nodename AS host, nodeport AS port FROM pg_dist_node WHERE groupid > 0')
  const urlOf = (host: string, port: number, database: string): string => {
    const url = new URL(server)
    Object.assign(url, { hostname: host, port: String(port), pathname: database })
    return url.href
  }
  const coordinator = { host: server.hostname, port: Number(server.port) }
  for (const { host, port } of [...nodes, coordinator]) {
    const maker = await openCitus(urlOf(host, port, server.pathname))
    await maker.query(`CREATE DATABASE ${name}`)
    const database = await openCitus(urlOf(host, port, name))
    await database.query('CREATE EXTENSION citus')
    await database.close()
    t.teardown(async () => {
      await maker.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await maker.close()
    })
  }
  const url = urlOf(coordinator.host, coordinator.port, name)
  const database = await openCitus(url)
  await database.query('SELECT citus_set_coordinator_host($1, $2)', [coordinator.host, coordinator.port])
  for (const { host, port } of nodes) await database.query('SELECT citus_add_node($1, $2)', [host, port])
  await database.close()
  return url
}

/** A connection, closed by the caller. */
export async function openCitus (url: string): Promise<DatabaseConnection> {
  return await connect(url, { applicationName: 'orbitstream citus', connectTimeoutMs: 5_000 })
}
