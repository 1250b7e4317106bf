/** Writes unvalidated frames to disk, for tests of the commands and the drain. */
import { join } from 'node:path'
import type { ClosedBatch } from '../../../lib/journal/journal.js'
import { ROW_FORMAT } from '../../../lib/pipeline/rows/payload.js'
import { realFiles } from '../../../lib/spool/file-system.js'
import { slotDirectory } from '../../../lib/spool/slot-directories.js'
import { openSpool } from '../../../lib/spool/open-spool.js'
import { encodePayload, type PlainRow } from '../points/rows.js'

const SPOOL_MAX_BYTES = 1024 * 1024 * 1024

/** A row timestamped now. */
export function rowNow (id: string, value: number): PlainRow {
  return { id: Buffer.from(id), timeMicros: BigInt(Date.now()) * 1000n, values: [null, value, null] }
}

/** Appends one frame per list of rows to the spool of a slot under DATA_DIR, and closes it. Returns the spool's id. */
export async function writeSpool (
  dataDir: string, slot: number, frames: ReadonlyArray<readonly PlainRow[]>
): Promise<string> {
  const { spool } = await openSpool({
    files: realFiles,
    directory: slotDirectory(join(dataDir, 'spool'), slot),
    rowFormat: ROW_FORMAT,
    maxBytes: SPOOL_MAX_BYTES,
    reserveBytes: 0,
    onFatal: (error) => { throw error },
    onGap: (gap) => { throw new Error(JSON.stringify(gap)) }
  })
  for (const rows of frames) {
    await new Promise<void>((resolve, reject) => {
      const batch: ClosedBatch = {
        payload: encodePayload(rows),
        rows: rows.length,
        awaitsCommit: false,
        spooled: (error) => { if (error === null) resolve(); else reject(new Error(error)) },
        committed: () => {}
      }
      spool.append(batch)
    })
  }
  await spool.close()
  return spool.spoolId
}
