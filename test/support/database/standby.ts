/** Streaming replication between test servers: a standby, its promotion, and the loss of a server with its disk. */
import { execFile } from 'node:child_process'
import { appendFile, chown, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../eventually.js'
import type { Owner } from '../owner.js'
import { startPostgresIn, temporaryDirectory, type TestPostgres, type TestPostgresOptions } from './postgres.js'
import { withDatabase } from '../load/verify.js'

const NAME = 's1'
const STREAMING_DEADLINE_MS = 60_000
const PROMOTE_SECONDS_MAX = 60

export interface StandbyOptions extends TestPostgresOptions {
  /** A COMMIT on the primary waits for this standby. */
  readonly synchronous: boolean
}

/** Makes a standby of a running primary, which may be storing rows. Resolves when it streams. */
export async function startStandby (
  owner: Owner, primary: TestPostgres, { synchronous, ...options }: StandbyOptions
): Promise<TestPostgres> {
  const dataDir = await temporaryDirectory(owner)
  await copyDatabase(primary, dataDir)
  const standby = await startPostgresIn(owner, dataDir, { fsync: true, ...options })
  await withDatabase(primary, async (db) => {
    if (synchronous) await db.query(`ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (${NAME})'`)
    await db.query('SELECT pg_reload_conf()')
    const wanted = synchronous ? 'quorum' : 'async'
    await eventually('the standby streams', STREAMING_DEADLINE_MS, async () => {
      const { rows } = await db.query(
        "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = $1", [wanted])
      return rows.length === 1 ? true : undefined
    })
  })
  return standby
}

/** Resolves when it accepts writes. */
export async function promote (standby: TestPostgres): Promise<void> {
  await withDatabase(standby, async (db) => await db.query('SELECT pg_promote(true, $1)', [PROMOTE_SECONDS_MAX]))
}

/** Kills every process of the server with SIGKILL and removes its data: the host is gone, with its disk. */
export async function lose (server: TestPostgres): Promise<void> {
  // First, so that nothing starts it again.
  const stopped = server.kill()
  for (const entry of await readdir('/proc')) {
    const directory = await readlink(`/proc/${entry}/cwd`).catch(() => null)
    if (/^\d+$/.test(entry) && directory === server.directory) process.kill(Number(entry), 'SIGKILL')
  }
  await stopped
  await rm(server.dataDir, { recursive: true, force: true })
}

/** A base backup, as PostgreSQL's manual describes it ("Making a Base Backup Using the Low Level API"). */
async function copyDatabase (primary: TestPostgres, dataDir: string): Promise<void> {
  const directory = join(dataDir, 'postgres')
  const label = await withDatabase(primary, async (db) => {
    await db.query("SELECT pg_backup_start('standby', true)")
    const copied = promisify(execFile)('cp', ['-a', '--', join(primary.dataDir, 'postgres-password'), primary.directory,
      `${dataDir}/`])
    // Files may vanish while they are copied.
    await copied.catch((error: unknown) => { if ((error as { code?: unknown }).code !== 1) throw error })
    const { rows: [backup] } = await db.query<{ label: string }>('SELECT labelfile AS label FROM pg_backup_stop(false)')
    return backup?.label ?? ''
  })
  for (const name of ['postmaster.pid', 'postmaster.opts']) await rm(join(directory, name), { force: true })
  for (const name of await readdir(join(directory, 'pg_wal'))) {
    await rm(join(directory, 'pg_wal', name), { recursive: true })
  }
  const { port, username, password } = new URL(primary.url)
  const source = `host=127.0.0.1 port=${port} user=${username} password=${password} application_name=${NAME}`
  await appendFile(join(directory, 'postgresql.auto.conf'),
    `primary_conninfo = '${source}'\nwal_retrieve_retry_interval = '200ms'\nsynchronous_standby_names = ''\n`)
  const { uid, gid } = await stat(directory)
  for (const [name, content] of [['backup_label', label], ['standby.signal', '']] as const) {
    await writeFile(join(directory, name), content)
    await chown(join(directory, name), uid, gid)
  }
}

/** Cuts a standby off its primary, which goes on: what is committed from now on only the primary has. */
export async function isolate (standby: TestPostgres, primary: TestPostgres): Promise<void> {
  await withDatabase(standby, async (db) => {
    await db.query("ALTER SYSTEM SET primary_conninfo = ''")
    await db.query('SELECT pg_reload_conf()')
  })
  await withDatabase(primary, async (db) => {
    await eventually('the standby is cut off', STREAMING_DEADLINE_MS, async () => {
      const { rows } = await db.query('SELECT 1 FROM pg_stat_replication')
      return rows.length === 0 ? true : undefined
    })
  })
}
