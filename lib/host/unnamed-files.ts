/**
 * Files without a name, for libraries that take secrets only as files: a name would outlive a crash. The name is
 * removed before anything is written; the library opens the file by its descriptor.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** Only for the owner. */
const FILE_MODE = 0o600

/**
 * Calls `use` with a path for each text; the paths are valid until it returns.
 * @param directory writable, and on a file system that keeps open files without a name
 */
export function withUnnamedFiles<T> (
  directory: string, texts: readonly string[], use: (paths: readonly string[]) => T
): T {
  const descriptors: number[] = []
  try {
    for (const text of texts) {
      const name = join(directory, `.${randomUUID()}`)
      const fd = openSync(name, 'wx+', FILE_MODE)
      descriptors.push(fd)
      unlinkSync(name)
      // At a position, so that a reader that shares the descriptor's own begins at 0.
      writeSync(fd, text, 0)
    }
    return use(descriptors.map((fd) => `/dev/fd/${fd}`))
  } finally {
    for (const fd of descriptors) closeSync(fd)
  }
}
