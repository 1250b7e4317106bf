/** The machine that the figures were measured on. */
import { statfs } from 'node:fs/promises'
import { cpus, loadavg, release, tmpdir, totalmem, type } from 'node:os'
import type { Machine, Verdict } from './result.js'

/** Magic numbers of statfs(2), Linux. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  0x01021994: 'tmpfs',
  0x858458f6: 'ramfs',
  0xef53: 'ext4',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x2fc12fc1: 'zfs',
  0x794c7630: 'overlay',
  0xf2f52010: 'f2fs',
  0x6969: 'nfs',
  0x65735546: 'fuse'
}

/** File systems that are not on a disk. */
const IN_MEMORY: readonly string[] = ['tmpfs', 'ramfs']

/** Name of a statfs magic number; ext2 and ext3 share that of ext4. */
export function fileSystemName (magic: number): string {
  return FILE_SYSTEMS[magic] ?? `0x${magic.toString(16)}`
}

/** @param dataRoot where the server's data directory is created; null: the system's temporary directory */
export async function describeMachine (dataRoot: string | null): Promise<Machine> {
  const [first] = cpus()
  return {
    cpu: first?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    // Without distribution and provider suffixes.
    system: `${type()} ${/^\d+\.\d+/.exec(release())?.[0] ?? ''}`,
    node: process.versions.node,
    fileSystem: process.platform === 'linux' ? fileSystemName((await statfs(dataRoot ?? tmpdir())).type) : null,
    loadBefore: loadavg()[0] ?? 0
  }
}

/** Fails if "on disk" would mean "in memory". */
export function diskVerdicts ({ fileSystem }: Pick<Machine, 'fileSystem'>): Verdict[] {
  if (fileSystem === null || !IN_MEMORY.includes(fileSystem)) return []
  return [{
    title: 'The data directory is on a disk',
    passed: false,
    detail: `it is on ${fileSystem}, where fsync does nothing: choose another place with --data-dir`
  }]
}
