/** Faults of the model's disk that need no process. */
import type { FakeDisk, Fault, Operation, Random } from '../fake-files.js'
import { pick } from './model-parts.js'

/** Flips a bit of a file of the spool. Gives how many were flipped: 0 if there is no file with bytes. */
export function flipBit (disk: FakeDisk, random: Random): number {
  const paths = disk.paths().filter((path) => path.endsWith('.seg') || path.endsWith('spool-id') || path.endsWith('in-ledger'))
  if (paths.length === 0) return 0
  const inode = disk.inode(pick(random, paths))
  if (inode.current.length === 0) return 0
  inode.flip(random(inode.current.length * 8))
  return 1
}

/**
 * Faults of what is done with whole files; one alone is seldom more than a refusal, so two come together. Gives how many
 * are faults of reading.
 */
export function failWholeFiles (disk: FakeDisk, random: Random): number {
  let reads = 0
  for (let faults = 0; faults < 2; faults++) {
    const operation = pick<Operation>(random, ['create', 'write', 'sync', 'syncDirectory', 'truncate', 'unlink', 'open', 'read'])
    if (operation === 'read') reads++
    disk.fail(operation, pick<Fault>(random, ['EIO', 'ENOSPC']), 1)
  }
  return reads
}
