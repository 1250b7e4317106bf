/**
 * The lock of a file: flock(2). The kernel keeps it, and frees it when the last descriptor of the one open file is
 * closed: by close(), by any end of the process, or, if it was handed on, of all processes that hold it. No process id
 * is looked at, so it holds between containers that share a volume, and between hosts where the file system passes
 * locks on (NFS 4 does).
 *
 * Node.js has no such call. The program flock gets our open file, locks it and ends; the lock stays, since it belongs to
 * the open file and not to a process. On macOS open(2) itself can lock.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants } from 'node:fs'
import { StartupError, systemCode } from '../support/startup-error.js'
import { openPlain } from './plain-file.js'

/** O_EXLOCK of open(2) on macOS. */
const LOCKED_ON_OPENING = process.platform === 'darwin' ? 0x20 : 0
/** What flock answers where somebody else has the lock; BusyBox also for errors, but then with a message. */
const TAKEN_EXIT_CODE = 1
/** Where it gets our file. */
const CHILD_FD = 3

/** Makes the file if needed and locks it: gives the descriptor that holds the lock, or null if somebody else does. */
export async function lockFile (path: string): Promise<number | null> {
  let fd
  try {
    fd = openPlain(path, constants.O_RDWR | constants.O_CREAT | LOCKED_ON_OPENING)
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
  const child = spawn('flock', ['-x', '-n', String(CHILD_FD)], { env: { PATH: process.env['PATH'], LC_ALL: 'C' }, stdio: ['ignore', 'ignore', 'pipe', fd] })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => { said += chunk.toString() })
  const [code] = await once(child, 'close').catch((cause: unknown) => { throw cannotRun(cause) }) as [number | null]
  if (code === 0) return true
  if (code === TAKEN_EXIT_CODE && said === '') return false
  throw new StartupError(`${path} cannot be locked: ${said === '' ? `flock ended with ${code ?? 'a signal'}` : said.trim()}. The directory must lie on a file system with locks (flock).`)
}

function cannotRun (cause: unknown): unknown {
  if (systemCode(cause) !== 'ENOENT') return cause
  return new StartupError('The program flock is missing, without which a second OrbitStream could use the same directory: install util-linux (or BusyBox with flock).', { cause })
}
