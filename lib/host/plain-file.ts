/**
 * Files with fixed names in our own directories. A directory may have been someone else's before it became ours: one of
 * our names may be a link to a file that only we can write, or a pipe that blocks forever.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'
import { syncDirectory } from './directories.js'
import { isRoot } from './owner.js'

/** Only for the owner. */
const FILE_MODE = 0o600

/**
 * Opens a regular file, never a link or special file; for root only one that belongs to root and has a single name.
 * Returns a descriptor that the caller must close.
 */
export function openPlain (path: string, flags: number): number {
  let fd
  try {
    fd = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, FILE_MODE)
  } catch (error) {
    // ENXIO: a pipe without a reader, or a socket.
    if (['ELOOP', 'ENXIO', 'EISDIR'].includes(systemCode(error))) throw notPlain(path, error)
    throw error
  }
  const stats = fstatSync(fd)
  if (stats.isFile() && (!isRoot() || (stats.uid === 0 && stats.nlink === 1))) return fd
  closeSync(fd)
  throw notPlain(path)
}

function notPlain (path: string, cause?: unknown): StartupError {
  const other = isRoot() ? ', or belongs to another user' : ''
  return new StartupError(`${path} is a link, or not a regular file${other}; it is neither read nor written. Move it ` +
    `away${isRoot() ? ', or give it to root (chown)' : ''}.`, { cause })
}

/** Content of a single-line file; null if it does not exist. */
export function readSmall (path: string): string | null {
  let fd
  try {
    fd = openPlain(path, constants.O_RDONLY)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    if (systemCode(error) === 'EACCES') {
      throw new StartupError(
      `${path} is not readable by this user: run as its owner, or give the whole directory to this user (chown -R).`,
      { cause: error }
      )
    }
    throw error
  }
  try {
    return readFileSync(fd, 'utf8').trim()
  } finally {
    closeSync(fd)
  }
}

/** Writes a single-line file atomically; once it resolves, the file survives a power loss. One writer at a time. */
export async function writeSmall (path: string, text: string): Promise<void> {
  const temporary = `${path}.new`
  await rm(temporary, { force: true })
  const handle = await open(temporary, 'wx', FILE_MODE)
  try {
    await handle.writeFile(`${text}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}
