/** A PostgreSQL server for one test: the embedded one, in its own directory, stopped and removed with the test. */
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { connect } from '../../../lib/database/connection.js'
import { startEmbedded } from '../../../lib/embedded/embedded.js'
import type { EmbeddedServer } from '../../../lib/embedded/embedded.js'
import type { Owner } from '../owner.js'
import { copyTemplate } from './postgres-template.js'
import { exitOnSignals } from '../programs/process-end.js'

export interface TestPostgres {
  /** Stays the same across stop, kill and start. */
  readonly url: string
  readonly dataDir: string
  /** Of the database; the working directory of every process of the server. */
  readonly directory: string
  /** Clean shutdown. */
  stop (): Promise<void>
  /** Equivalent to a power cut; with fsync on, committed rows survive. */
  kill (): Promise<void>
  /** Starts it again on the same port. */
  start (): Promise<void>
}

export const silentLog = pino({ level: 'silent' })

/** A temporary directory that every account can reach, removed with the test. */
export async function temporaryDirectory (owner: Owner): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'orbitstream-test-'))
  await chmod(directory, 0o755)
  owner.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

export interface TestPostgresOptions {
  /** Slow, so only for durability tests. */
  readonly fsync?: boolean
  /** Default: any free one. */
  readonly port?: number
}

export async function startTestPostgres (owner: Owner, options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const dataDir = await temporaryDirectory(owner)
  await copyTemplate(dataDir, silentLog)
  return await startPostgresIn(owner, dataDir, options)
}

/** Starts the server of a directory that is already filled. */
export async function startPostgresIn (
  owner: Owner, dataDir: string, options: TestPostgresOptions
): Promise<TestPostgres> {
  const { fsync = false, ...rest } = options
  let server: EmbeddedServer = await startEmbedded({ dataDir, log: silentLog, fsync, ...rest })
  // Teardowns run in reverse order: the server stops before its directory is removed.
  owner.teardown(() => server.stop('immediate'))
  // The server is stopped when this process exits.
  exitOnSignals()
  const { url, directory } = server
  const port = Number(new URL(url).port)
  return {
    url,
    dataDir,
    directory,
    stop: () => server.stop('fast'),
    kill: () => server.stop('immediate'),
    async start () {
      server = await startEmbedded({ dataDir, log: silentLog, fsync, port })
    }
  }
}

/** A new empty database on a server that tests share; removed with the server. Returns its URL. */
export async function createTestDatabase (server: TestPostgres): Promise<string> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const database = await connect(server.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  await database.query(`CREATE DATABASE ${name} STRATEGY file_copy`)
  await database.close()
  const url = new URL(server.url)
  url.pathname = name
  return url.href
}
