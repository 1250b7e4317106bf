/**
 * The processes of the embedded PostgreSQL: running its programs, finding a server that runs, ending one.
 *
 * A postmaster is told by the lock file in its database directory, and believed only if the process of that id works
 * in that directory: after a crash the id may belong to somebody else.
 */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { processStart } from './process-identity.js'
import { systemCode } from './startup-error.js'

/** A user that programs run as. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/** A running server. */
export interface Postmaster {
  readonly pid: number
  readonly port: number
}

const POLL_MS = 50
/** Output of a program that is kept: enough for its error message. */
const OUTPUT_CHARS_MAX = 10_000

/** Nothing of the caller's environment changes what the server does or says; programs are found by full path. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** The working directory must be reachable for the account: the caller's need not be. */
const WORKING_DIRECTORY = '/'

/** Runs a program to its end. A program that cannot be started has the code -1. */
export async function runProgram (file: string, args: readonly string[], account: Account | null): Promise<{ code: number, output: string }> {
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  const collect = (chunk: Buffer): void => { output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX) }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  return await new Promise(resolve => {
    child.once('error', error => resolve({ code: -1, output: error.message }))
    child.once('close', code => resolve({ code: code ?? -1, output: output.trim() }))
  })
}

/**
 * Starts the server in a process group of its own, so that Ctrl-C in the terminal reaches it only through us, and
 * without keeping this process alive.
 */
export async function launch (file: string, args: readonly string[], account: Account | null, logFd: number): Promise<ChildProcess> {
  const child = spawn(file, args, { ...account, cwd: WORKING_DIRECTORY, env: ENVIRONMENT, stdio: ['ignore', logFd, logFd], detached: true })
  await once(child, 'spawn')
  child.unref()
  return child
}

/** The server that runs on this directory; null if none does. */
export async function findPostmaster (directory: string): Promise<Postmaster | null> {
  const lines = await lockLines(directory)
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
export async function disarmLockFile (directory: string): Promise<void> {
  const lines = await lockLines(directory)
  const pid = Number(lines[0])
  if (lines.length === 0 || !Number.isInteger(pid) || pid <= 1 || !exists(pid)) return
  lines[0] = String(process.pid)
  await writeFile(join(directory, 'postmaster.pid'), lines.join('\n'))
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
async function lockLines (directory: string): Promise<string[]> {
  try {
    return (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n')
  } catch {
    return []
  }
}

async function worksIn (pid: number, directory: string): Promise<boolean> {
  try {
    if (process.platform === 'linux') return await readlink(`/proc/${pid}/cwd`) === directory
    const { stdout } = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)])
    return stdout.includes(directory)
  } catch {
    return false
  }
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
