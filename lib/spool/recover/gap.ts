/** Damage: gaps in the sequences, and the quarantine for bytes in which no frame was found. */
import { join } from 'node:path'
import type { Files, OpenFile } from '../file-system.js'

/** Frames that were appended and can no longer be read. Those that the ledger covers are stored. */
export interface Gap {
  readonly epoch: number
  readonly fromSequence: number
  /** Null: unknown. */
  readonly toSequence: number | null
  /** Damaged bytes; 0 if the file is missing. */
  readonly bytes: number
  /** The file that contains, or contained, the frames. */
  readonly segment: string
}

/** One line for logs. */
export function describeGap (gap: Gap): string {
  const to = gap.toSequence === null ? 'and later' : `to ${gap.toSequence}`
  const what = `frames ${gap.fromSequence} ${to} of epoch ${gap.epoch}`
  return `${what} cannot be read (${gap.bytes} damaged bytes in ${gap.segment})`
}

export const QUARANTINE_DIRECTORY = 'quarantine'
const COPY_BYTES = 1024 * 1024

/** Bytes of an open segment. */
export interface DamagedExtent {
  readonly segment: string
  readonly file: OpenFile
  readonly offset: number
  readonly bytes: number
}

/**
 * Copies damaged bytes to quarantine/<segment>-<offset>.bin. The same damage always gets the same file name.
 * Returns the number of bytes copied: 0 if that fails, since a full disk must not keep the spool from opening.
 */
export async function quarantine (files: Files, directory: string, damage: DamagedExtent): Promise<number> {
  const { segment, file: source, offset, bytes } = damage
  const folder = join(directory, QUARANTINE_DIRECTORY)
  let copied = 0
  try {
    await files.makeDirectory(folder)
    const target = await files.replace(join(folder, `${segment}-${offset}.bin`))
    try {
      while (copied < bytes) {
        const chunk = Buffer.alloc(Math.min(COPY_BYTES, bytes - copied))
        await source.read(chunk, offset + copied)
        if (await target.write([chunk], copied) !== chunk.length) break
        copied += chunk.length
      }
      await target.sync()
    } finally {
      await target.close()
    }
  } catch {
    return 0
  }
  return copied
}
