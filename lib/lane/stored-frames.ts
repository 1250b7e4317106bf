/**
 * Finds which frames of a spool a database has. Frames commit in order, so it has all of them up to some point and none
 * after it: the boundary is found by comparing points, part by part, then by bisecting the part that contains it.
 */
import { StreamTable } from '../drain/stream-runs.js'
import { telemetryOf } from '../pipeline/rows/payload.js'
import type { FoundFrames } from '../spool/operate/resolution.js'
import type { Frame } from '../spool/frame.js'
import type { Catalogue } from '../../protocol/catalogue.js'
import type { Database } from '../database/database.js'
import { countStored } from './stored-points.js'

/** @param parts the frames, in order */
export async function findStoredFrames (
  db: Database, catalogue: Catalogue, parts: AsyncIterable<readonly Frame[]>
): Promise<FoundFrames> {
  let found: FoundFrames = { through: null, rows: 0, rowsBehind: 0 }
  for await (const part of parts) {
    const stored = await storedRows(db, catalogue, part)
    const whole = stored === rowsOf(part) ? part : stored === 0 ? [] : await wholePrefix(db, catalogue, part)
    const rows = rowsOf(whole)
    found = { through: whole.at(-1) ?? found.through, rows: found.rows + rows, rowsBehind: stored - rows }
    if (whole.length < part.length) break
  }
  const { through } = found
  return { ...found, through: through === null ? null : { epoch: through.epoch, sequence: through.sequence } }
}

/** The first frames that the database has completely, given that it does not have all of them. */
async function wholePrefix (db: Database, catalogue: Catalogue, part: readonly Frame[]): Promise<readonly Frame[]> {
  let [has, lacks] = [0, part.length]
  while (lacks - has > 1) {
    const middle = (has + lacks) >>> 1
    const prefix = part.slice(0, middle)
    if (await storedRows(db, catalogue, prefix) === rowsOf(prefix)) has = middle
    else lacks = middle
  }
  return part.slice(0, has)
}

async function storedRows (db: Database, catalogue: Catalogue, frames: readonly Frame[]): Promise<number> {
  let stored = 0
  for (const { stream, payloads } of new StreamTable(catalogue).group(frames.map(({ payload }) => payload))) {
    // Rows of a stream that the catalogue does not have are in no table.
    if (stream !== null) stored += await countStored(db, stream, payloads.map(telemetryOf))
  }
  return stored
}

function rowsOf (frames: readonly Frame[]): number {
  return frames.reduce((sum, { rows }) => sum + rows, 0)
}
