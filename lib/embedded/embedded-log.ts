/** The log that the embedded PostgreSQL writes into the data directory. */
import { constants } from 'node:fs'
import { open, rename, stat } from 'node:fs/promises'
import { openPlain } from '../host/plain-file.js'

const LOG_BYTES_MAX = 10_000_000
const TAIL_BYTES = 2_000

/** Opens the log for appending; a large one is first renamed, and replaces the previous one. */
export async function openLog (path: string): Promise<number> {
  const size = await stat(path).then(found => found.size, () => 0)
  if (size > LOG_BYTES_MAX) await rename(path, `${path}.old`)
  return openPlain(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND)
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
