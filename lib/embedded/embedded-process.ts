/**
 * The processes of the embedded PostgreSQL: running its programs, finding a server that runs, ending one.
 *
 * A postmaster is told by the lock file in its database directory, and believed only if the process of that id works
 * in that directory, as its owner: after a crash the id may belong to somebody else. A server in another container has an
 * id there that says nothing here; so all processes of a server hold a lock of ours as well, lockServer().
 *
 * The database directory belongs to the account that the server runs as. As root, what is written there is written by
 * that account: a link that it has put there leads to no more than what it may write anyway.
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readFileSync } from 'node:fs'
import { readdir, readlink, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { lockFile } from '../host/file-lock.js'
import type { Account } from '../host/owner.js'
import { processStart } from '../host/process-identity.js'
import { StartupError, systemCode } from '../support/startup-error.js'

/** A running server. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
}

/** Of PostgreSQL, in its directory. */
const LOCK_FILE = 'postmaster.pid'
const POLL_MS = 50
/** Output of a program that is kept: enough for its error message. */
const OUTPUT_CHARS_MAX = 10_000

/** Nothing of the caller's environment changes what the server does or says; programs are found by full path. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** The working directory must be reachable for the account: the caller's need not be. */
const WORKING_DIRECTORY = '/'

/** Runs a program to its end. A program that cannot be started has the code -1. */
export async function runProgram (file: string, args: readonly string[], account: Account | null, input = ''): Promise<{ code: number, output: string }> {
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  const collect = (chunk: Buffer): void => { output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX) }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  // What ends without reading says why by its exit code.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return await new Promise(resolve => {
    child.once('error', error => resolve({ code: -1, output: error.message }))
    child.once('close', code => resolve({ code: code ?? -1, output: output.trim() }))
  })
}

/** Writes a file in the database directory anew. */
export async function writeInside (directory: string, name: string, text: string, account: Account | null): Promise<void> {
  await runInside(directory, 'rm -f "$2.new" && cat > "$2.new" && mv -f "$2.new" "$2"', name, text, account)
}

export async function appendInside (directory: string, name: string, text: string, account: Account | null): Promise<void> {
  await runInside(directory, 'cat >> "$2"', name, text, account)
}

async function runInside (directory: string, script: string, name: string, input: string, account: Account | null): Promise<void> {
  const { code, output } = await runProgram('/bin/sh', ['-c', `cd "$1" && umask 077 && ${script}`, 'sh', directory, name], account, input)
  if (code !== 0) throw new StartupError(`${join(directory, name)} could not be written: ${output}`)
}

/**
 * Starts the server in a process group of its own, so that Ctrl-C in the terminal reaches it only through us, and
 * without keeping this process alive.
 * @param lockFd of lockServer()
 */
export async function launch (file: string, args: readonly string[], account: Account | null, logFd: number, lockFd: number): Promise<ChildProcess> {
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio: ['ignore', logFd, logFd, lockFd], detached: true })
  await once(child, 'spawn')
  child.unref()
  return child
}

/** The server that runs on this directory; null if none does. */
export async function findPostmaster (directory: string): Promise<Postmaster | null> {
  const lines = lockLines(directory)
  const pid = Number(lines[0])
  const port = Number(lines[3])
  if (!Number.isInteger(pid) || pid <= 1 || !Number.isInteger(port)) return null
  return await worksIn(pid, directory) ? { pid, port } : null
}

/**
 * Makes a lock file harmless whose process id belongs to another program now, or to a dead process that is still
 * listed: PostgreSQL would take that for its postmaster and refuse to start. The id is replaced by ours, the parent's, which PostgreSQL knows to be no server;
 * the rest stays, by which it finds out whether processes of the old server are still there.
 */
export async function disarmLockFile (directory: string, account: Account | null): Promise<void> {
  const lines = lockLines(directory)
  const pid = Number(lines[0])
  if (lines.length === 0 || !Number.isInteger(pid) || pid <= 1 || !exists(pid)) return
  lines[0] = String(process.pid)
  await writeInside(directory, LOCK_FILE, lines.join('\n'), account)
}

/** As PostgreSQL looks: true also for a process that has ended and that nobody has fetched yet. */
function exists (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) !== 'ESRCH'
  }
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

/** As the owner of the directory: who else works there is no server, and not ours to end. */
async function worksIn (pid: number, directory: string): Promise<boolean> {
  try {
    if (process.platform === 'linux') {
      return await readlink(`/proc/${pid}/cwd`) === directory && (await stat(`/proc/${pid}`)).uid === (await stat(directory)).uid
    }
    const { stdout } = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)])
    return stdout.includes(directory)
  } catch {
    return false
  }
}

/**
 * Takes the lock that the processes of a server hold, to be handed to the next one; waits for what is left of one that was
 * killed. Throws StartupError if a server holds it that is none of this machine's, or of this container's, processes:
 * PostgreSQL itself would not see that one, and two servers would destroy the database.
 */
export async function lockServer (path: string, directory: string, deadlineMs: number): Promise<number> {
  const end = performance.now() + deadlineMs
  for (let unseen = false; ;) {
    const fd = await lockFile(path)
    if (fd !== null) return fd
    const seen = await isWorkedIn(directory)
    // The last one may have ended between our two looks.
    if ((!seen && unseen) || performance.now() > end) {
      const where = seen ? '' : ', in another container or on another host'
      throw new StartupError(`PostgreSQL still runs on ${directory}${where}, although the OrbitStream that started it has ended: end it there first.`)
    }
    unseen = !seen
    await delay(POLL_MS)
  }
}

/** Whether a process that can be seen from here works in the directory. */
async function isWorkedIn (directory: string): Promise<boolean> {
  if (process.platform !== 'linux') return true
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    if (await worksIn(Number(pid), directory)) return true
  }
  return false
}

/** Sends a signal to a process that may be gone already. */
export function signal (pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}

/** Resolves when the process is gone; false if it is still there after the deadline. */
export async function waitForEnd (pid: number, deadlineMs: number): Promise<boolean> {
  const end = performance.now() + deadlineMs
  while (await processStart(pid) !== null) {
    if (performance.now() > end) return false
    await delay(POLL_MS)
  }
  return true
}
