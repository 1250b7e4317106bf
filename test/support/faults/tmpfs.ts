/** A small in-memory file system, with a balloon file that takes up its space. */
import { execFile, execFileSync } from 'node:child_process'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Owner } from '../owner.js'
import { temporaryDirectory } from '../database/postgres.js'
import { onProcessEnd } from '../programs/process-end.js'

const BALLOON = 'balloon'
const CHUNK_BYTES = 1024 * 1024

export class Tmpfs {
  private constructor (readonly path: string) {}

  /** Mounts one; returns the reason if this account may not. Unmounted with its owner, or at the end of the process. */
  static async mount (owner: Owner, bytes: number): Promise<Tmpfs | string> {
    const path = await temporaryDirectory(owner)
    try {
      await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=755`, 'orbitstream-test', path])
    } catch (error) {
      return `mounting a tmpfs needs root: ${(error as Error).message.trim()}`
    }
    // Lazily: nothing stays behind even if something still holds it open.
    const unmount = (): void => { execFileSync('umount', ['-l', path]) }
    const forget = onProcessEnd(unmount)
    owner.teardown(() => {
      forget()
      unmount()
    })
    return new Tmpfs(path)
  }

  /** Leaves this many bytes free and fills the rest. 0: not a single byte. */
  async leave (freeBytes: number): Promise<void> {
    await this.release()
    const file = await open(join(this.path, BALLOON), 'w')
    const chunk = Buffer.alloc(CHUNK_BYTES)
    try {
      for (;;) {
        const excess = await this.freeBytes() - freeBytes
        if (excess <= 0) return
        await file.write(chunk, 0, Math.min(excess, CHUNK_BYTES))
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    } finally {
      await file.close()
    }
  }

  /** Removes the balloon. */
  async release (): Promise<void> {
    await rm(join(this.path, BALLOON), { force: true })
  }

  async freeBytes (): Promise<number> {
    const { bavail, bsize } = await statfs(this.path)
    return bavail * bsize
  }
}
