/** Directories: created with their parents, their names made durable. */
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../support/errors.js'

/**
 * As mkdir -p; new directories get the mode, existing ones keep theirs. Node.js' own recursive mkdir loops forever
 * below /proc, where every path is ENOENT.
 */
export async function makeDirectory (path: string, mode: number): Promise<void> {
  try {
    await makeOne(path, mode)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error
    await makeDirectory(dirname(path), mode)
    await makeOne(path, mode)
  }
}

async function makeOne (path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode })
  } catch (error) {
    if (systemCode(error) !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
    return
  }
  await syncDirectory(dirname(path)).catch((error: unknown) => {
    // A directory may be writable and yet not readable.
    if (systemCode(error) !== 'EACCES') throw error
  })
}

/** Makes directory entries durable: until then, a power loss loses new files. */
export async function syncDirectory (path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
