/**
 * Processes of the embedded PostgreSQL: runs its programs, finds a running server, signals it.
 *
 * The lock file in the database directory names the postmaster, and is trusted only if that process works in the
 * directory as its owner: after a crash the id may belong to another process. The process id of a server in another
 * container means nothing here, so all processes of a server also hold the lock of lockServer().
 *
 * The database directory belongs to the account that the server runs as. Under root, files in it are written as that
 * account: a symlink it placed there reaches nothing that it could not write anyway.
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess, StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { lockFile } from '../host/file-lock.js'
import type { Account } from '../host/owner.js'
import { systemCode } from '../support/errors.js'
import { StartupError } from '../support/startup-error.js'

/** A running server. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
}

/** PostgreSQL's own, in the database directory. */
const LOCK_FILE = 'postmaster.pid'
const POLL_MS = 50
/** Kept output of a program: enough for its error message. */
const OUTPUT_CHARS_MAX = 10_000

/**
 * By default, glibc gives memory back to the system after every transaction and takes it again in the next: a sixth of
 * the processor time of a session that stores small ones. Here a session keeps as much as a small one needs. Other
 * libraries ignore these variables. Source: mallopt(3).
 */
const MALLOC = { MALLOC_TRIM_THRESHOLD_: String(16 * 1024 * 1024), MALLOC_MMAP_THRESHOLD_: String(16 * 1024 * 1024) }

/** Independent of the caller's environment; programs are run by full path. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', ...MALLOC }

/** Accessible to every account; the caller's working directory may not be. */
const WORKING_DIRECTORY = '/'

/** Runs a program until it exits. Code -1: it could not be started. */
export async function runProgram (
  file: string, args: readonly string[], account: Account | null, input = ''
): Promise<{ code: number, output: string }> {
  const stdio: ['pipe', 'pipe', 'pipe'] = ['pipe', 'pipe', 'pipe']
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio })
  let output = ''
  const collect = (chunk: Buffer): void => { output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX) }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  // A program that exits without reading reports why by its exit code.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return await new Promise(resolve => {
    child.once('error', error => resolve({ code: -1, output: error.message }))
    child.once('close', code => resolve({ code: code ?? -1, output: output.trim() }))
  })
}

/** Replaces a file in the database directory. */
export async function writeInside (
  directory: string, name: string, text: string, account: Account | null
): Promise<void> {
  await runInside(directory, 'rm -f "$2.new" && cat > "$2.new" && mv -f "$2.new" "$2"', name, text, account)
}

export async function appendInside (
  directory: string, name: string, text: string, account: Account | null
): Promise<void> {
  await runInside(directory, 'cat >> "$2"', name, text, account)
}

async function runInside (
  directory: string, script: string, name: string, input: string, account: Account | null
): Promise<void> {
  const args = ['-c', `cd "$1" && umask 077 && ${script}`, 'sh', directory, name]
  const { code, output } = await runProgram('/bin/sh', args, account, input)
  if (code !== 0) throw new StartupError(`${join(directory, name)} could not be written: ${output}`)
}

/**
 * Starts the server in its own process group, so that Ctrl-C reaches it only through this process, which it does not
 * keep alive.
 * @param lockFd of lockServer()
 */
export async function launch (
  file: string, args: readonly string[], account: Account | null, logFd: number, lockFd: number
): Promise<ChildProcess> {
  const stdio: StdioOptions = ['ignore', logFd, logFd, lockFd]
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio, detached: true })
  await once(child, 'spawn')
  child.unref()
  return child
}

/** The server running on this directory; null: none. */
export async function findPostmaster (directory: string): Promise<Postmaster | null> {
  const lines = lockLines(directory)
  const pid = Number(lines[0])
  const port = Number(lines[3])
  if (!Number.isInteger(pid) || pid <= 1 || !Number.isInteger(port)) return null
  return await worksIn(pid, directory) ? { pid, port } : null
}

/**
 * Disarms a stale lock file whose process id now belongs to another program or a zombie: PostgreSQL would take that for
 * its postmaster and refuse to start. The id is replaced by that of this process, the parent, which PostgreSQL knows is
 * not a server; it uses the other lines to check for leftover processes of the old server.
 */
export async function disarmLockFile (directory: string, account: Account | null): Promise<void> {
  const lines = lockLines(directory)
  const pid = Number(lines[0])
  if (lines.length === 0 || !Number.isInteger(pid) || pid <= 1 || !exists(pid)) return
  lines[0] = String(process.pid)
  await writeInside(directory, LOCK_FILE, lines.join('\n'), account)
}

/** PostgreSQL's own check, which is also true for a zombie. */
function exists (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
}

/** False for a zombie as well, where the system tells: it no longer holds locks. */
export async function isRunning (pid: number): Promise<boolean> {
  if (process.platform !== 'linux') return exists(pid)
  // The state follows the command name, which may contain spaces and parentheses (proc(5)).
  const status = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null)
  return status !== null && !/^ [ZX]/.test(status.slice(status.lastIndexOf(')') + 1))
}

/** Lines of postmaster.pid: pid, directory, start time, port, … (PostgreSQL: src/include/utils/pidfile.h). */
function lockLines (directory: string): string[] {
  try {
    const fd = openSync(join(directory, LOCK_FILE), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      return readFileSync(fd, 'utf8').split('\n')
    } finally {
      closeSync(fd)
    }
  } catch {
    return []
  }
}

/** As the owner of the directory: a process of another user is not the server. */
async function worksIn (pid: number, directory: string): Promise<boolean> {
  try {
    if (process.platform === 'linux') {
      if (await readlink(`/proc/${pid}/cwd`) !== directory) return false
      return (await stat(`/proc/${pid}`)).uid === (await stat(directory)).uid
    }
    const { stdout } = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)])
    return stdout.includes(directory)
  } catch {
    return false
  }
}

/**
 * Takes the lock that all processes of a server inherit; waits for leftover processes of one that was killed. Throws a
 * StartupError if the holder is a server on another host or in another container: PostgreSQL itself would not notice
 * it, and two servers would destroy the database.
 * @param onWaiting called before each wait; what it throws ends them
 */
export async function lockServer (
  path: string, directory: string, deadlineMs: number, onWaiting: () => void
): Promise<number> {
  const end = performance.now() + deadlineMs
  for (let unseen = false; ;) {
    const fd = await lockFile(path)
    if (fd !== null) return fd
    const seen = await isWorkedIn(directory)
    // The last process may have exited between the two checks.
    if ((!seen && unseen) || performance.now() > end) {
      const where = seen ? '' : ', in another container or on another host'
      throw new StartupError(
        `PostgreSQL still runs on ${directory}${where}, although the OrbitStream that started it has ended: ` +
        'stop it there first.')
    }
    unseen = !seen
    onWaiting()
    await delay(POLL_MS)
  }
}

/** Whether a visible process works in the directory. */
async function isWorkedIn (directory: string): Promise<boolean> {
  if (process.platform !== 'linux') return true
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    if (await worksIn(Number(pid), directory)) return true
  }
  return false
}

/** Sends a signal to a process that may have exited. */
export function signal (pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}

/** True once the process has exited; false after the deadline. */
export async function waitForEnd (pid: number, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs
  while (await isRunning(pid)) {
    if (performance.now() > end) return false
    await delay(POLL_MS)
  }
  return true
}

/** False if it is still running after the deadline. */
export async function childEnded (child: ChildProcess, deadlineMs: number): Promise<boolean> {
  if (hasEnded(child)) return true
  return await new Promise(resolve => {
    const timer = setTimeout(() => { resolve(false) }, deadlineMs)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}

export function hasEnded (child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
