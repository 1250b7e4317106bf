/**
 * Tells a damaged sector from a disk that is away. Both answer a read with EIO: so do a network disk that is out of
 * reach, and a file system that has shut itself down. But then nothing can be written either, and all bytes may be
 * there again later, so none of them is damaged.
 */
import { join } from 'node:path'
import { systemCode } from '../support/errors.js'
import { isSpaceError, type Files } from './file-system.js'

const NAME = 'disk-check'

export interface CheckedDirectory {
  readonly files: Files
  readonly directory: string
}

/**
 * Reads, and after EIO once more if the disk takes writes. Rejects if it does not.
 * @param read opens what it reads: what was open when the disk went away may never be readable again.
 * `isDamage`: what cannot be read with EIO is damaged; otherwise it rejects
 */
export async function readPastDamage<T> (
  disk: CheckedDirectory, read: (isDamage: boolean) => Promise<T>
): Promise<T> {
  try {
    return await read(false)
  } catch (error) {
    if (systemCode(error) !== 'EIO') throw error
    await assertWritable(disk)
    return await read(true)
  }
}

/** Rejects with the system's error unless a file can be written and synced. A full disk is there. */
export async function assertWritable ({ files, directory }: CheckedDirectory): Promise<void> {
  const path = join(directory, NAME)
  try {
    const file = await files.replace(path)
    try {
      await file.write([Buffer.alloc(1)], 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await files.unlink(path)
  } catch (error) {
    if (!isSpaceError(error)) throw error
  }
}
