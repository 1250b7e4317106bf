import { resolve } from 'node:path'
import type { Files } from './file-system.js'
import { recover, tidy, type Recovery } from './recover/recovery.js'
import { Spool, type SpoolOptions } from './spool.js'

/** Directories open in this process: a second spool on one would reuse its sequence numbers. */
const openDirectories = new WeakMap<Files, Set<string>>()

/**
 * Opens the spool of one slot, after recovery.
 * @throws {OperatingError} spool_failed: a newer format, or frames whose spool id is lost
 */
export async function openSpool (options: SpoolOptions): Promise<{ spool: Spool, recovery: Recovery }> {
  const directory = resolve(options.directory)
  const directories = openDirectories.get(options.files) ?? new Set()
  openDirectories.set(options.files, directories)
  if (directories.has(directory)) throw new Error(`the spool ${directory} is already open in this process`)
  directories.add(directory)
  let spool: Spool | null = null
  try {
    const now = options.now ?? Date.now
    const recovered = await recover(options.files, directory, options.rowFormat, now())
    spool = new Spool({ ...options, directory, now }, recovered, () => directories.delete(directory))
    await spool.start()
    await tidy(options.files, recovered)
    return { spool, recovery: recovered.report }
  } catch (error) {
    // Closes what start() opened; its own failure matters more than one of close().
    await spool?.close().catch(() => {})
    directories.delete(directory)
    throw error
  }
}
