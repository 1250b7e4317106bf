/**
 * A PostgreSQL server for one test: the embedded one, in a directory of its own, ended and removed with the test.
 */
import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { connect } from '../../lib/database/connection.js'
import { startEmbedded } from '../../lib/embedded/embedded.js'
import type { EmbeddedServer } from '../../lib/embedded/embedded.js'
import type { Owner } from './owner.js'
import { exitOnSignals } from './process-end.js'

export interface TestPostgres {
  /** Stays the same over stop, kill and start. */
  readonly url: string
  readonly dataDir: string
  /** Ends sessions, writes everything down. */
  stop (): Promise<void>
  /** What a power cut does; with fsync on, committed rows are there after start(). */
  kill (): Promise<void>
  /** Starts it again, on the same port. */
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

/** @param options fsync: only for tests of durability, since it is slow */
export async function startTestPostgres (owner: Owner, options: { fsync?: boolean } = {}): Promise<TestPostgres> {
  const dataDir = await temporaryDirectory(owner)
  const fsync = options.fsync ?? false
  let server: EmbeddedServer = await startEmbedded({ dataDir, log: silentLog, fsync })
  // Teardowns run last first: the server ends before its directory is removed.
  owner.teardown(() => server.stop('immediate'))
  // The server is told to stop when this process exits.
  exitOnSignals()
  const { url } = server
  const port = Number(new URL(url).port)
  return {
    url,
    dataDir,
    stop: () => server.stop('fast'),
    kill: () => server.stop('immediate'),
    async start () {
      server = await startEmbedded({ dataDir, log: silentLog, fsync, port })
    }
  }
}

/** An empty database of its own on a server that tests share; gone with the server. Gives its URL. */
export async function createTestDatabase (server: TestPostgres): Promise<string> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const database = await connect(server.url, { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 })
  await database.query(`CREATE DATABASE ${name} STRATEGY file_copy`)
  await database.close()
  const url = new URL(server.url)
  url.pathname = name
  return url.href
}
