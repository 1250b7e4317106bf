/**
 * How many connections a worker may have: below the limit that the system sets to its open files, so that what it needs
 * to store points (segments of the spool, its database connection, the log) can always be opened.
 */
import { readFile } from 'node:fs/promises'

/**
 * Files for everything but connections of clients: a worker at rest has about 25 open. Some more come with the slots that
 * nobody owns, and with segments under load.
 */
const OTHER_FILES_MAX = 128
/** A limit so low that the files above do not fit is shared out evenly: it may be enough. */
const SHARE_OF_LOW_LIMIT = 0.5
/** Where the system allows millions. At 30 KB of memory, what node:http takes for one, this is half a gigabyte. */
const CONNECTIONS_MAX = 16_384

/** @param filesMax open files that the system allows; null: it does not say */
export function connectionsWithin (filesMax: number | null): number {
  if (filesMax === null) return CONNECTIONS_MAX
  return Math.min(CONNECTIONS_MAX, Math.max(filesMax - OTHER_FILES_MAX, Math.floor(filesMax * SHARE_OF_LOW_LIMIT)))
}

/** The soft limit in a text as /proc/self/limits has it (Linux, fs/proc/base.c): name, soft, hard, unit, in columns. */
export function parseFilesMax (text: string): number | null {
  const limit = /^Max open files\s+(\d+|unlimited)\s/m.exec(text)?.[1]
  return limit === undefined || limit === 'unlimited' ? null : Number(limit)
}

/** For this process. */
export async function findConnectionsMax (): Promise<number> {
  // Elsewhere than on Linux.
  const text = await readFile('/proc/self/limits', 'latin1').catch(() => '')
  return connectionsWithin(parseFilesMax(text))
}
