/** The embedded PostgreSQL for its own tests, started here or by another process. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { connect } from '../../../lib/database/connection.js'
import { startEmbedded } from '../../../lib/embedded/embedded.js'
import type { EmbeddedOptions, EmbeddedServer } from '../../../lib/embedded/embedded.js'
import { defaultPlaces } from '../../../lib/embedded/embedded-files.js'
import { findPostmaster } from '../../../lib/embedded/embedded-process.js'
import { nodeCommand } from '../programs/command.js'
import { silentLog } from './postgres.js'

export const STARTER = fileURLToPath(new URL('embedded-starter.js', import.meta.url))
export const CONNECT = { applicationName: 'orbitstream test', connectTimeoutMs: 5_000 }

export async function start (
  t: Test, dataDir: string, options: Partial<EmbeddedOptions> = {}
): Promise<EmbeddedServer> {
  const server = await startEmbedded({ dataDir, log: silentLog, fsync: false, ...options })
  t.teardown(() => server.stop('immediate'))
  return server
}

export async function query<Row extends object> (url: string, sql: string): Promise<Row[]> {
  const database = await connect(url, CONNECT)
  try {
    return (await database.query<Row>(sql)).rows
  } finally {
    await database.close()
  }
}

export interface Started {
  readonly url: string
  readonly adopted: boolean
  readonly directory: string
  readonly error?: string
}

/** Starts the server from another process, optionally as another user. */
export async function startElsewhere (
  t: Test, dataDir: string, user?: number, sharedDir = '/nonexistent'
): Promise<{ child: ChildProcess, started: Started }> {
  const account = user === undefined ? {} : { uid: user, gid: user }
  const [execPath, ...execArgv] = nodeCommand()
  const child = fork(STARTER, [dataDir, defaultPlaces().packageDir, sharedDir], {
    ...account, execPath, execArgv, silent: true, env: { PATH: process.env.PATH, HOME: dataDir }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [started] = await once(child, 'message') as [Started]
  return { child, started }
}

/** Ends what a killed starter left behind. */
export function endLater (t: Test, directory: string): void {
  t.teardown(async () => {
    const left = await findPostmaster(directory)
    if (left !== null) process.kill(left.pid, 'SIGQUIT')
  })
}
