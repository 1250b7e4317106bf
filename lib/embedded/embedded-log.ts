/** The log that the embedded PostgreSQL writes into the data directory. */
import { closeSync, constants, ftruncateSync } from 'node:fs'
import { copyFile, open, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { openPlain } from '../host/plain-file.js'

const LOG_BYTES_MAX = 10_000_000
const TAIL_BYTES = 2_000

/** Opens the log for appending; a large one is first renamed, and replaces the previous one. */
export async function openLog (path: string): Promise<number> {
  if (await isLarge(path)) await rename(path, `${path}.old`)
  return openPlain(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND)
}

async function isLarge (path: string): Promise<boolean> {
  return await stat(path).then(found => found.size > LOG_BYTES_MAX, () => false)
}

/**
 * Empties the log whenever it has grown large, until aborted: the server appends to the file that it was given, for
 * years, and every query that fails adds to it. A copy replaces the previous log.
 * @param onFailure called if there is no copy; the log is emptied all the same
 */
export async function keepLogSmall (
  path: string, everyMs: number, signal: AbortSignal, onFailure: (reason: string) => void
): Promise<void> {
  while (!signal.aborted) {
    if (await isLarge(path)) await emptyLog(path).catch((error: unknown) => { onFailure(String(error)) })
    await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined)
  }
}

async function emptyLog (path: string): Promise<void> {
  const log = openPlain(path, constants.O_WRONLY)
  try {
    await rm(`${path}.old`, { force: true })
    await copyFile(path, `${path}.old`, constants.COPYFILE_EXCL)
  } finally {
    ftruncateSync(log)
    closeSync(log)
  }
}

/** The end of the log, at most from a position on. */
export async function tail (path: string, from: number): Promise<string> {
  let log
  try {
    // It may be too large to be read as a whole.
    log = await open(path)
    const { size } = await log.stat()
    const start = Math.max(from, size - TAIL_BYTES)
    const { buffer, bytesRead } = await log.read(Buffer.alloc(TAIL_BYTES), 0, Math.max(size - start, 0), start)
    return buffer.toString('utf8', 0, bytesRead).trim()
  } catch {
    return ''
  } finally {
    await log?.close()
  }
}
