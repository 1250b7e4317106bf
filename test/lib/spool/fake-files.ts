/**
 * An in-memory file system with the faults of real ones.
 *
 * FakeDisk survives a crash; FakeFiles is one mount of it, which does not: after a crash its operations never resolve.
 * Each inode has the bytes that programs read (`current`: the page cache) and those that survive a power cut
 * (`durable`). A power cut keeps any subset of the unsynced sectors and names. After a failed sync the unsynced bytes
 * can still be read, but a later sync does not write them, and reports success.
 */
import { basename, dirname } from 'node:path'
import type { Files, OpenFile } from '../../../lib/spool/file-system.js'

/** Small, so that small frames tear. */
const SECTOR_BYTES = 16

export type Random = (below: number) => number

class Inode {
  current: Buffer = Buffer.alloc(0)
  durable: Buffer = Buffer.alloc(0)
  /** Offsets of sectors that differ and that a sync would write. */
  readonly dirty = new Set<number>()
  sizeDirty = false

  write (bytes: Buffer, position: number): void {
    if (bytes.length === 0) return
    this.resize(Math.max(this.current.length, position + bytes.length))
    bytes.copy(this.current, position)
    const end = position + bytes.length
    for (let at = position - position % SECTOR_BYTES; at < end; at += SECTOR_BYTES) this.dirty.add(at)
  }

  resize (bytes: number): void {
    if (bytes === this.current.length) return
    this.current = resized(this.current, bytes)
    this.sizeDirty = true
  }

  sync (): void {
    if (this.sizeDirty) this.durable = resized(this.durable, this.current.length)
    for (const at of this.dirty) this.keepSector(at)
    this.forgetDirty()
  }

  /** The kernel marks the pages clean and reports the failure once. */
  failSync (random: Random): void {
    for (const at of this.dirty) {
      if (random(2) === 0) this.keepSector(at)
      else if (random(4) === 0) this.loseSector(at)
    }
    this.forgetDirty()
    this.sizeDirty = this.durable.length !== this.current.length
  }

  powerCut (random: Random): void {
    if (this.sizeDirty && random(2) === 0) this.durable = resized(this.durable, this.current.length)
    for (const at of this.dirty) {
      if (random(2) === 0) this.keepSector(at)
    }
    this.forgetDirty()
    this.current = Buffer.from(this.durable)
  }

  /** The kernel may write unsynced bytes back at any time. */
  writeBack (): void {
    if (this.sizeDirty) this.durable = resized(this.durable, this.current.length)
    for (const at of this.dirty) this.keepSector(at)
  }

  flip (bit: number): void {
    for (const bytes of [this.current, this.durable]) {
      const at = bit >> 3
      if (at < bytes.length) bytes[at] = bytes[at]! ^ (1 << (bit & 7))
    }
  }

  private forgetDirty (): void {
    this.dirty.clear()
    this.sizeDirty = false
  }

  private keepSector (at: number): void {
    const part = this.current.subarray(at, at + SECTOR_BYTES)
    if (part.length === 0) return
    if (this.durable.length < at + part.length) this.durable = resized(this.durable, at + part.length)
    part.copy(this.durable, at)
  }

  /** The page was evicted: from now on reads return what is on disk. */
  private loseSector (at: number): void {
    this.current.fill(0, at, at + SECTOR_BYTES)
    this.durable.subarray(at, at + SECTOR_BYTES).copy(this.current, at, 0)
  }
}

interface Directory {
  readonly entries: Map<string, Inode>
  readonly durable: Map<string, Inode>
}

export type Fault = 'EIO' | 'ENOSPC' | 'short'
export type Operation = 'create' | 'write' | 'sync' | 'syncDirectory' | 'truncate' | 'unlink' | 'read' | 'open'

export class FakeDisk {
  readonly directories = new Map<string, Directory>()
  capacityBytes = Number.POSITIVE_INFINITY
  /** Pending faults by operation: how many calls succeed first, and the fault. */
  readonly faults = new Map<Operation, Array<{ after: number, fault: Fault }>>()

  constructor (readonly random: Random = (below) => Math.floor(Math.random() * below)) {}

  /** The n-th call from now (1: the next) of an operation fails. */
  fail (operation: Operation, fault: Fault, nth = 1): void {
    const list = this.faults.get(operation) ?? []
    list.push({ after: nth - 1, fault })
    this.faults.set(operation, list)
  }

  heal (): void {
    this.faults.clear()
    this.capacityBytes = Number.POSITIVE_INFINITY
  }

  get usedBytes (): number {
    let used = 0
    for (const { entries } of this.directories.values()) {
      for (const inode of entries.values()) used += inode.current.length
    }
    return used
  }

  /** Unsynced bytes and names are lost, kept or torn. */
  powerCut (): void {
    const { random } = this
    const inodes = new Set<Inode>()
    for (const { entries, durable } of this.directories.values()) {
      for (const name of new Set([...entries.keys(), ...durable.keys()])) {
        const now = entries.get(name)
        const then = durable.get(name)
        const kept = now === then || random(2) === 0 ? now : then
        for (const inode of [now, then]) if (inode !== undefined) inodes.add(inode)
        if (kept === undefined) entries.delete(name)
        else entries.set(name, kept)
      }
      durable.clear()
      for (const [name, inode] of entries) durable.set(name, inode)
    }
    for (const inode of inodes) inode.powerCut(random)
  }

  /** Makes a random file or directory durable. */
  writeBack (): void {
    for (const { entries, durable } of this.directories.values()) {
      for (const inode of entries.values()) if (this.random(2) === 0) inode.writeBack()
      for (const [name, inode] of entries) if (this.random(2) === 0) durable.set(name, inode)
    }
  }

  /** Whether a power cut would lose no byte. */
  get isDurable (): boolean {
    return this.paths().every((path) => this.inode(path).current.equals(this.inode(path).durable))
  }

  /** Paths of all files. */
  paths (): string[] {
    return [...this.directories].flatMap(([path, { entries }]) => [...entries.keys()].map((name) => `${path}/${name}`))
  }

  inode (path: string): Inode {
    const inode = this.directory(dirname(path)).entries.get(basename(path))
    if (inode === undefined) throw systemError('ENOENT', path)
    return inode
  }

  directory (path: string): Directory {
    const directory = this.directories.get(path)
    if (directory === undefined) throw systemError('ENOENT', path)
    return directory
  }

  /** The fault of this call. */
  next (operation: Operation): Fault | null {
    const list = this.faults.get(operation) ?? []
    for (const fault of list) fault.after--
    const due = list.findIndex((fault) => fault.after < 0)
    return due < 0 ? null : list.splice(due, 1)[0]!.fault
  }
}

export class FakeFiles implements Files {
  /** If true, operations wait for step(); otherwise they happen at once. */
  gated = false
  /** If true, no operation fails. */
  faultless = false
  dead = false
  private readonly waiting: Array<() => void> = []

  constructor (readonly disk: FakeDisk) {}

  get pending (): number {
    return this.waiting.length
  }

  /** Performs one of the waiting operations, at random. */
  step (): void {
    const [operation] = this.waiting.splice(this.disk.random(this.waiting.length), 1)
    operation?.()
  }

  /** The process is dead: its waiting operations never happen. */
  kill (): void {
    this.dead = true
    this.waiting.length = 0
  }

  async perform<T> (operation: Operation | null, what: (fault: Fault | null) => T): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const run = (): void => {
        try {
          const fault = operation === null || this.faultless ? null : this.disk.next(operation)
          const isHandled = operation === 'write' || operation === 'sync'
          if (fault !== null && !isHandled) throw systemError(fault === 'short' ? 'EIO' : fault, operation ?? '')
          resolve(what(fault))
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)))
        }
      }
      if (this.dead) return
      if (this.gated) this.waiting.push(run)
      else run()
    })
  }

  async create (path: string): Promise<OpenFile> {
    return await this.perform('create', () => {
      if (this.disk.directory(dirname(path)).entries.has(basename(path))) throw systemError('EEXIST', path)
      return this.add(path)
    })
  }

  async replace (path: string): Promise<OpenFile> {
    return await this.perform('create', () => {
      const there = this.disk.directory(dirname(path)).entries.get(basename(path))
      if (there === undefined) return this.add(path)
      there.resize(0)
      return new FakeFile(this, there)
    })
  }

  async open (path: string): Promise<OpenFile> {
    return await this.perform('open', () => new FakeFile(this, this.disk.inode(path)))
  }

  async makeDirectory (path: string): Promise<void> {
    await this.perform(null, () => {
      for (let at = path; !this.disk.directories.has(at); at = dirname(at)) {
        this.disk.directories.set(at, { entries: new Map(), durable: new Map() })
      }
    })
  }

  async syncDirectory (path: string): Promise<void> {
    await this.perform('syncDirectory', () => {
      const { entries, durable } = this.disk.directory(path)
      durable.clear()
      for (const [name, inode] of entries) durable.set(name, inode)
    })
  }

  async list (path: string): Promise<string[]> {
    return await this.perform(null, () => {
      const children = [...this.disk.directories.keys()].filter((one) => one !== path && dirname(one) === path)
      const names = this.disk.directories.get(path)?.entries.keys() ?? []
      return [...names, ...children.map((one) => basename(one))]
    })
  }

  async rename (from: string, to: string): Promise<void> {
    await this.perform(null, () => {
      const inode = this.disk.inode(from)
      this.disk.directory(dirname(from)).entries.delete(basename(from))
      this.disk.directory(dirname(to)).entries.set(basename(to), inode)
    })
  }

  async unlink (path: string): Promise<void> {
    await this.perform('unlink', () => {
      this.disk.inode(path)
      this.disk.directory(dirname(path)).entries.delete(basename(path))
    })
  }

  async freeBytes (): Promise<number> {
    return await this.perform(null, () => Math.max(0, this.disk.capacityBytes - this.disk.usedBytes))
  }

  private add (path: string): OpenFile {
    const inode = new Inode()
    this.disk.directory(dirname(path)).entries.set(basename(path), inode)
    return new FakeFile(this, inode)
  }
}

class FakeFile implements OpenFile {
  private closed = false

  constructor (private readonly files: FakeFiles, private readonly inode: Inode) {}

  async write (buffers: readonly Buffer[], position: number): Promise<number> {
    return await this.perform('write', (fault) => {
      const { disk } = this.files
      const bytes = Buffer.concat(buffers)
      if (fault === 'EIO') {
        // Any prefix may have been written.
        this.inode.write(bytes.subarray(0, disk.random(bytes.length + 1)), position)
        throw systemError('EIO', 'write')
      }
      const grows = Math.max(0, position + bytes.length - this.inode.current.length)
      const free = Math.max(0, disk.capacityBytes - disk.usedBytes)
      let taken = grows <= free ? bytes.length : bytes.length - (grows - free)
      if (fault === 'short') taken = Math.min(taken, disk.random(bytes.length))
      if (fault === 'ENOSPC' || (taken <= 0 && bytes.length > 0)) throw systemError('ENOSPC', 'write')
      this.inode.write(bytes.subarray(0, taken), position)
      return taken
    })
  }

  async read (target: Buffer, position: number): Promise<number> {
    const { inode } = this
    return await this.perform('read', () => inode.current.copy(target, 0, Math.min(position, inode.current.length)))
  }

  async size (): Promise<number> {
    return await this.perform(null, () => this.inode.current.length)
  }

  async truncate (bytes: number): Promise<void> {
    await this.perform('truncate', () => { this.inode.resize(bytes) })
  }

  async sync (): Promise<void> {
    await this.perform('sync', (fault) => {
      if (fault === null) {
        this.inode.sync()
        return
      }
      this.inode.failSync(this.files.disk.random)
      throw systemError(fault === 'ENOSPC' ? 'ENOSPC' : 'EIO', 'fdatasync')
    })
  }

  async close (): Promise<void> {
    await this.perform(null, () => { this.closed = true })
  }

  private async perform<T> (operation: Operation | null, what: (fault: Fault | null) => T): Promise<T> {
    return await this.files.perform(operation, (fault) => {
      if (this.closed) throw systemError('EBADF', 'a closed file')
      return what(fault)
    })
  }
}

function resized (bytes: Buffer, length: number): Buffer {
  if (length <= bytes.length) return Buffer.from(bytes.subarray(0, length))
  return Buffer.concat([bytes, Buffer.alloc(length - bytes.length)])
}

function systemError (code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code })
}
