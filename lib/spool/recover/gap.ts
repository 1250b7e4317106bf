/**
 * Damage: what a gap in the sequences is, and the quarantine that keeps a copy of the bytes in which no frame was found.
 */
import { join } from 'node:path'
import type { Files, OpenFile } from '../files.js'

/** Frames that were appended and can no longer be read. Those that the ledger covers were stored before. */
export interface Gap {
  readonly epoch: number
  readonly fromSequence: number
  /** Null: nobody knows how many followed. */
  readonly toSequence: number | null
  /** Damaged bytes; 0 if the file itself is missing. */
  readonly bytes: number
  /** File that holds, or held, the frames. */
  readonly segment: string
}

/** For logs: one line that says what is gone. */
export function describeGap (gap: Gap): string {
  const to = gap.toSequence === null ? 'an unknown number' : String(gap.toSequence)
  return `frames ${gap.fromSequence} to ${to} of epoch ${gap.epoch} cannot be read (${gap.bytes} damaged bytes in ${gap.segment})`
}

export const QUARANTINE_DIRECTORY = 'quarantine'
const COPY_BYTES = 1024 * 1024

/**
 * Copies damaged bytes to quarantine/<segment>-<offset>.bin. The same damage makes the same file, however often it is met.
 * Gives the bytes that were copied: 0 if that fails, since a full disk must not keep the spool from starting.
 */
export async function quarantine (files: Files, directory: string, segment: string, source: OpenFile, offset: number, bytes: number): Promise<number> {
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
