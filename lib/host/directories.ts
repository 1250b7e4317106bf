/** Directories: made with those above them, and their names made durable. */
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemCode } from '../support/startup-error.js'

/**
 * As mkdir -p; what is new gets the mode, what is there stays as it is. Node.js' own way to do so never ends below
 * /proc, which says ENOENT whatever is there.
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
    // One may make a directory where one may not list.
    if (systemCode(error) !== 'EACCES') throw error
  })
}

/** Makes the names in a directory durable: new files are lost with a power cut until then. */
export async function syncDirectory (path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
