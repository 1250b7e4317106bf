/** Creates the database directory: unfinished under another name, then renamed into place. */
import { lchown, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncDirectory } from '../host/directories.js'
import { refuseHinderedRoot } from '../host/data-directory.js'
import type { Account } from '../host/owner.js'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'
import { removeDatabase, type ServerFiles } from './embedded-files.js'
import { appendInside, runProgram } from './embedded-process.js'
import { INITDB_ARGUMENTS } from './embedded-settings.js'
import type { StoreLog } from '../support/store-log.js'

/** The only role of a new database. */
export const SUPERUSER = 'orbitstream'

interface InitialiseOptions {
  readonly fsync?: boolean
  readonly log: StoreLog
}

export async function isInitialised (directory: string): Promise<boolean> {
  return await stat(join(directory, 'PG_VERSION')).then(() => true, (error: unknown) => {
    if (systemCode(error) === 'ENOENT') return false
    throw error
  })
}

export async function initialise (
  dataDir: string, files: ServerFiles, password: string, options: InitialiseOptions
): Promise<void> {
  const { directory, account } = files
  const unfinished = `${directory}.new`
  const passwordFile = `${directory}.new-password`
  await refuseHinderedRoot(dirname(directory), 'database directory')
  await removeDatabase(unfinished)
  await rm(passwordFile, { force: true })
  try {
    await mkdir(unfinished, { mode: 0o700 })
    if (account !== null) await lchown(unfinished, account.uid, account.gid)
    await writePassword(passwordFile, password, account)
    const args = [...INITDB_ARGUMENTS, `--username=${SUPERUSER}`, `--pwfile=${passwordFile}`, `--pgdata=${unfinished}`]
    if (options.fsync === false) args.push('--no-sync')
    const { code, output } = await runProgram(join(files.binDir, 'initdb'), args, account)
    if (code !== 0) throw new StartupError(`The database directory ${directory} could not be created: ${output}`)
    await appendInside(unfinished, 'postgresql.conf', "\ninclude_if_exists = 'orbitstream.conf'\n", account)
    await rename(unfinished, directory)
    await syncDirectory(dirname(directory))
  } finally {
    await rm(passwordFile, { force: true })
    await removeDatabase(unfinished)
  }
  options.log.info({ directory, dataDir }, 'A new embedded database was created')
}

/** Readable by the account only. */
async function writePassword (path: string, password: string, account: Account | null): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await handle.writeFile(password)
    if (account !== null) await handle.chown(account.uid, account.gid)
  } finally {
    await handle.close()
  }
}
