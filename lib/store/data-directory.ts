/**
 * The lock of a directory: one running program owns it.
 *
 *   <directory>/orbitstream.lock   {"pid":4711,"start":"<boot> <start time>","nonce":"…"}
 *
 * The file is made complete under another name and then linked, so that it is there as a whole or not at all. A lock
 * whose process is gone is stale. Taking it over happens under a second lock (…lock.takeover), after looking again:
 * whoever saw the same stale lock a moment ago must not replace the fresh one. Nobody else removes a lock that exists.
 *
 * It guards against a second program on the same machine. Containers with process ids of their own that share one
 * volume do not see each other's processes: give each its own directory.
 */
import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { processStart } from './process-identity.js'
import { StartupError, systemCode } from './startup-error.js'

export interface DirectoryLock {
  /** Gives the directory free; further calls do nothing. */
  release (): Promise<void>
}

interface Holder {
  readonly pid: number
  readonly start: string
  readonly nonce: string
}

const LOCK_FILE = 'orbitstream.lock'
/** Guards of guards: each deeper one needs a crash within the microseconds that a guard is held. */
const TAKEOVER_DEPTH_MAX = 4
/** Turns of losing to others that take and release the lock. */
const ATTEMPTS_MAX = 100

/**
 * Locks a directory, which is made if it is not there; throws StartupError if another process holds it.
 * @param what what the directory is, for the message: "data directory"
 */
export async function lockDirectory (directory: string, what: string): Promise<DirectoryLock> {
  await makePath(resolve(directory)).catch((cause: unknown) => { throw unusable(what, directory, cause) })
  const real = await realpath(directory)
  const path = join(real, LOCK_FILE)
  const holder: Holder = { pid: process.pid, start: await processStart(process.pid) ?? '', nonce: randomUUID() }
  const other = await acquire(path, holder, 0).catch((cause: unknown) => { throw unusable(what, real, cause) })
  if (other !== null) {
    throw new StartupError(`The ${what} ${real} is in use by process ${other.pid}. Stop that one, or give this one another directory.`)
  }
  let released: Promise<void> | null = null
  return {
    async release () {
      released ??= removeOwn(path, holder)
      await released
    }
  }
}

/** With its parents, as mkdir -p. Node.js' own way to do so never ends below /proc, which says ENOENT whatever is there. */
async function makePath (directory: string): Promise<void> {
  try {
    await makeOne(directory)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(directory) === directory) throw error
    await makePath(dirname(directory))
    await makeOne(directory)
  }
}

async function makeOne (directory: string): Promise<void> {
  await mkdir(directory).catch(async (error: unknown) => {
    if (systemCode(error) !== 'EEXIST' || !(await stat(directory)).isDirectory()) throw error
  })
}

/** What to do where the directory takes no file; other errors stay as they are. */
function unusable (what: string, directory: string, cause: unknown): unknown {
  switch (systemCode(cause)) {
    case 'ENOSPC':
      return new StartupError(`The disk of the ${what} ${directory} is full: not even a lock file finds room. Free some space, then start again; what lies in the directory stays.`, { cause })
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartupError(`User id ${process.getuid?.() ?? 'unknown'} may not write to the ${what} ${directory}: give the directory to that user (chown), or choose another one.`, { cause })
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartupError(`The ${what} ${directory} cannot be made there: choose another one.`, { cause })
    default:
      return cause
  }
}

/** Takes the lock file; gives the living process that holds it, or null when it is ours. */
async function acquire (path: string, holder: Holder, depth: number): Promise<Holder | null> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await linkNew(path, holder)) return null
    const text = await readIfThere(path)
    if (text === null) continue
    const found = parseHolder(text)
    if (found !== null && await isRunning(found)) return found
    if (depth === TAKEOVER_DEPTH_MAX) break
    const rival = await acquire(`${path}.takeover`, holder, depth + 1)
    // The rival is about to take the lock over, and then names itself in it.
    if (rival !== null) continue
    try {
      if (await readIfThere(path) !== text) continue
      await replace(path, holder)
      return null
    } finally {
      await rm(`${path}.takeover`, { force: true })
    }
  }
  throw new StartupError(`The lock ${path} cannot be taken: remove it if no process uses the directory.`)
}

/** Makes the file with its content at once; false if it exists. */
async function linkNew (path: string, holder: Holder): Promise<boolean> {
  const temporary = await writeTemporary(path, holder)
  try {
    await link(temporary, path)
    return true
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false
    throw error
  } finally {
    await rm(temporary, { force: true })
  }
}

async function replace (path: string, holder: Holder): Promise<void> {
  await rename(await writeTemporary(path, holder), path)
}

async function writeTemporary (path: string, holder: Holder): Promise<string> {
  const temporary = `${path}.${randomUUID()}`
  await writeFile(temporary, JSON.stringify(holder), { flag: 'wx', mode: 0o644 })
  return temporary
}

async function removeOwn (path: string, holder: Holder): Promise<void> {
  const text = await readIfThere(path)
  if (text !== null && parseHolder(text)?.nonce === holder.nonce) await rm(path, { force: true })
}

async function readIfThere (path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw error
  }
}

function parseHolder (text: string): Holder | null {
  try {
    const found = JSON.parse(text) as Partial<Holder> | null
    if (!Number.isInteger(found?.pid) || typeof found?.start !== 'string') return null
    return { pid: Number(found.pid), start: found.start, nonce: String(found.nonce) }
  } catch {
    return null
  }
}

async function isRunning (holder: Holder): Promise<boolean> {
  return await processStart(holder.pid) === holder.start
}
