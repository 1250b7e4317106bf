/**
 * Maximum connections per worker: below the system's limit on open files, so that what it needs to store points (spool
 * segments, its database connection, the log) can always be opened.
 */
import { readFile } from 'node:fs/promises'

/**
 * Files other than client connections. An idle worker has about 25 open; orphaned slots, and segments under load, need
 * a few more.
 */
const OTHER_FILES_MAX = 128
/** If the limit is too low for the files above, half of it goes to connections: the rest may be enough. */
const SHARE_OF_LOW_LIMIT = 0.5
/** Where the system allows millions. At the 30 KB that node:http takes per connection, this is half a gigabyte. */
export const CONNECTIONS_MAX = 16_384

/** @param filesMax the system's limit on open files; null: unknown */
export function connectionsWithin (filesMax: number | null): number {
  if (filesMax === null) return CONNECTIONS_MAX
  return Math.min(CONNECTIONS_MAX, Math.max(filesMax - OTHER_FILES_MAX, Math.floor(filesMax * SHARE_OF_LOW_LIMIT)))
}

/** The soft limit from /proc/self/limits, in columns: name, soft, hard, unit (Linux, fs/proc/base.c). */
export function parseFilesMax (text: string): number | null {
  const limit = /^Max open files\s+(\d+|unlimited)\s/m.exec(text)?.[1]
  return limit === undefined || limit === 'unlimited' ? null : Number(limit)
}

/** The maximum for this process. */
export async function findConnectionsMax (): Promise<number> {
  // The file is missing on systems other than Linux.
  const text = await readFile('/proc/self/limits', 'latin1').catch(() => '')
  return connectionsWithin(parseFilesMax(text))
}
