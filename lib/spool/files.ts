/**
 * The seam between the spool and the file system: every byte that the spool reads or writes passes here.
 * `realFiles` is the only importer of node:fs on the data path; tests put a file system with faults in its place.
 *
 * All methods reject with the system's error (`code` is ENOSPC, EIO, ...). None retries, none hides a short write.
 */
import { constants } from 'node:fs'
import { open, readFile, readdir, rename, statfs, unlink, type FileHandle } from 'node:fs/promises'
import { makeDirectory, syncDirectory } from '../host/directories.js'

export interface OpenFile {
  /** Writes the buffers one after the other at `position`. Gives the bytes that were written: fewer on a full disk. */
  write (buffers: readonly Buffer[], position: number): Promise<number>
  /** Fills `target` from `position`. Gives the bytes that were read: fewer at the end of the file. */
  read (target: Buffer, position: number): Promise<number>
  size (): Promise<number>
  truncate (bytes: number): Promise<void>
  /** fdatasync. After it has failed once nothing about this file's unsynced bytes can be believed, whatever a second call says. */
  sync (): Promise<void>
  close (): Promise<void>
}

export interface Files {
  /** Makes a new file; fails with EEXIST if there is one. */
  create (path: string): Promise<OpenFile>
  /** Makes a file, or empties the one that is there. */
  replace (path: string): Promise<OpenFile>
  /** Opens a file that exists. */
  open (path: string, mode: 'read' | 'change'): Promise<OpenFile>
  /** Makes a directory and those above it; fine if it exists. */
  makeDirectory (path: string): Promise<void>
  /** Makes the names of a directory durable: new files are lost with a power cut until then. */
  syncDirectory (path: string): Promise<void>
  /** Names in a directory, in no order. Empty if there is no such directory. */
  list (path: string): Promise<string[]>
  rename (from: string, to: string): Promise<void>
  unlink (path: string): Promise<void>
  /** Bytes that an ordinary user may still write on this directory's file system. */
  freeBytes (path: string): Promise<number>
  /** Which start of the machine this is, as 32 hexadecimal digits: what was written and not synced is there until the next. '' if nothing tells it. */
  bootId (): Promise<string>
}

/** Whether an error means that there is no room: disk, quota, or file size limit. */
export function isSpaceError (error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG'
}

/** The system's code of an error, '' if it has none. */
export function errorCode (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
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

/** Rows may be confidential: only the owner reads what the spool writes. No link is followed: the spool makes none. */
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

export const realFiles: Files = {
  async create (path) {
    return new RealFile(await open(path, 'wx+', FILE_MODE))
  },
  async replace (path) {
    return new RealFile(await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, FILE_MODE))
  },
  async open (path, mode) {
    return new RealFile(await open(path, (mode === 'read' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NOFOLLOW))
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
      if (errorCode(error) === 'ENOENT') return []
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
  },
  async bootId () {
    const text = await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(() => '')
    const digits = text.trim().replaceAll('-', '')
    return /^[0-9a-f]{32}$/.test(digits) ? digits : ''
  }
}
