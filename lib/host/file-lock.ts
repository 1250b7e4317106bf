/**
 * File locks with flock(2). The kernel holds the lock and releases it when the last descriptor of the open file is
 * closed: by close(), by the end of the process, or, if it was inherited, of all processes that hold it. No process IDs
 * are involved, so it works between containers that share a volume, and between hosts where the file system forwards
 * locks (NFS 4 does).
 *
 * Node.js lacks this call. The flock program inherits our open file, locks it and exits; the lock stays, since it
 * belongs to the open file rather than to a process. On macOS open(2) itself can lock.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants } from 'node:fs'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'
import { openPlain } from './plain-file.js'

/** O_EXLOCK of open(2) on macOS. */
const LOCKED_ON_OPENING = process.platform === 'darwin' ? 0x20 : 0
/** Exit code of flock if the lock is taken; BusyBox uses it for errors too, but then prints a message. */
const TAKEN_EXIT_CODE = 1
/** Descriptor of our file in the child. */
const CHILD_FD = 3

/**
 * Locks a file: returns the descriptor that holds the lock, or null if it is taken.
 * @param create whether it is created if it is missing; otherwise ENOENT is thrown
 */
export async function lockFile (path: string, create = true): Promise<number | null> {
  let fd
  try {
    fd = openPlain(path, constants.O_RDWR | (create ? constants.O_CREAT : 0) | LOCKED_ON_OPENING)
  } catch (error) {
    if (LOCKED_ON_OPENING !== 0 && systemCode(error) === 'EAGAIN') return null
    throw error
  }
  try {
    if (LOCKED_ON_OPENING !== 0 || await lockOpen(fd, path)) return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
  closeSync(fd)
  return null
}

async function lockOpen (fd: number, path: string): Promise<boolean> {
  const child = spawn('flock', ['-x', '-n', String(CHILD_FD)], {
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe', fd]
  })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => { said += chunk.toString() })
  const [code] = await once(child, 'close').catch((cause: unknown) => { throw cannotRun(cause) }) as [number | null]
  if (code === 0) return true
  if (code === TAKEN_EXIT_CODE && said === '') return false
  const reason = said === '' ? `flock exited with ${code ?? 'a signal'}` : said.trim()
  const advice = 'The directory must be on a file system that supports flock.'
  throw new StartupError(`${path} cannot be locked: ${reason}. ${advice}`)
}

function cannotRun (cause: unknown): unknown {
  if (systemCode(cause) !== 'ENOENT') return cause
  return new StartupError('The flock program is missing; without it a second OrbitStream could use the same ' +
    'directory. Install util-linux (or BusyBox with flock).', { cause })
}
