/** Faults of the model's disk that do not need a process. */
import type { FakeDisk, Fault, Operation, Random } from '../fake-files.js'
import { pick } from './model-parts.js'

const OPERATIONS: readonly Operation[] = [
  'create', 'write', 'sync', 'syncDirectory', 'truncate', 'unlink', 'open', 'read'
]

/** Flips a bit of a file of the spool. Returns the number of bits flipped: 0 if all files are empty. */
export function flipBit (disk: FakeDisk, random: Random): number {
  const paths = disk.paths().filter((path) => path.endsWith('.seg') || path.endsWith('spool-id'))
  if (paths.length === 0) return 0
  const inode = disk.inode(pick(random, paths))
  if (inode.current.length === 0) return 0
  inode.flip(random(inode.current.length * 8))
  return 1
}

/**
 * Makes operations on whole files fail. One failure rarely does more than refuse a batch, so two come together. Returns
 * the number of read faults.
 */
export function failWholeFiles (disk: FakeDisk, random: Random): number {
  let reads = 0
  for (let faults = 0; faults < 2; faults++) {
    const operation = pick(random, OPERATIONS)
    if (operation === 'read') reads++
    disk.fail(operation, pick<Fault>(random, ['EIO', 'ENOSPC']), 1)
  }
  return reads
}
