/**
 * The seam between the spool and the file system: all I/O of the spool passes through it. `realFiles` is the only
 * importer of node:fs on the data path; tests replace it with a file system with faults.
 *
 * All methods reject with the system's error (`code` is ENOSPC, EIO, ...). None retries or hides a short write.
 */
import { constants } from 'node:fs'
import { open, readdir, rename, statfs, unlink, type FileHandle } from 'node:fs/promises'
import { systemCode } from '../support/errors.js'
import { makeDirectory, syncDirectory } from '../host/directories.js'

export interface OpenFile {
  /** Writes the buffers in sequence at `position`. Returns the bytes written: fewer on a full disk. */
  write (buffers: readonly Buffer[], position: number): Promise<number>
  /** Fills `target` from `position`. Returns the bytes read: fewer at the end of the file. */
  read (target: Buffer, position: number): Promise<number>
  size (): Promise<number>
  truncate (bytes: number): Promise<void>
  /** fdatasync. Once it has failed, the file's unsynced bytes are in doubt even if a second call succeeds. */
  sync (): Promise<void>
  close (): Promise<void>
}

export interface Files {
  /** Creates a file; fails with EEXIST if it exists. */
  create (path: string): Promise<OpenFile>
  /** Creates a file, or truncates an existing one. */
  replace (path: string): Promise<OpenFile>
  /** Opens an existing file. */
  open (path: string, mode: 'read' | 'change'): Promise<OpenFile>
  /** Creates a directory and its parents, unless they exist. */
  makeDirectory (path: string): Promise<void>
  /** Makes the names in a directory durable: until then a power cut loses new files. */
  syncDirectory (path: string): Promise<void>
  /** Names in a directory, unordered. Empty if the directory does not exist. */
  list (path: string): Promise<string[]>
  rename (from: string, to: string): Promise<void>
  unlink (path: string): Promise<void>
  /** Bytes available to an unprivileged user on this directory's file system. */
  freeBytes (path: string): Promise<number>
}

/** Whether the error means that there is no space: disk, quota, or file size limit. */
export function isSpaceError (error: unknown): boolean {
  const code = systemCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}

class RealFile implements OpenFile {
  constructor (private readonly handle: FileHandle) {}

  async write (buffers: readonly Buffer[], position: number): Promise<number> {
    return (await this.handle.writev(buffers, position)).bytesWritten
  }

  async read (target: Buffer, position: number): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      const { bytesRead } = await this.handle.read(target, filled, target.length - filled, position + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return filled
  }

  async size (): Promise<number> {
    return (await this.handle.stat()).size
  }

  async truncate (bytes: number): Promise<void> {
    await this.handle.truncate(bytes)
  }

  async sync (): Promise<void> {
    await this.handle.datasync()
  }

  async close (): Promise<void> {
    await this.handle.close()
  }
}

/** Rows may be confidential: only the owner may read the files. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700
/** The spool creates no links, and follows none. */
const { O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants

export const realFiles: Files = {
  async create (path) {
    return new RealFile(await open(path, 'wx+', FILE_MODE))
  },
  async replace (path) {
    return new RealFile(await open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, FILE_MODE))
  },
  async open (path, mode) {
    return new RealFile(await open(path, (mode === 'read' ? O_RDONLY : O_RDWR) | O_NOFOLLOW))
  },
  async makeDirectory (path) {
    await makeDirectory(path, DIRECTORY_MODE)
  },
  async syncDirectory (path) {
    await syncDirectory(path)
  },
  async list (path) {
    try {
      return await readdir(path)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return []
      throw error
    }
  },
  async rename (from, to) {
    await rename(from, to)
  },
  async unlink (path) {
    await unlink(path)
  },
  async freeBytes (path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  }
}
