/**
 * Finds which frames of a spool a database has. Frames commit in order, so it has all of them up to some point and none
 * after it: the boundary is found by comparing points, part by part, then by bisecting the part that contains it.
 */
import { telemetryOf } from '../pipeline/rows/payload.js'
import type { FoundFrames } from '../spool/operate/resolution.js'
import type { Frame } from '../spool/frame.js'
import type { PointSchema } from '../../protocol/schema.js'
import type { Database } from '../database/database.js'
import { countStored } from './stored-points.js'

/** @param parts the frames, in order */
export async function findStoredFrames (
  db: Database, schema: PointSchema, parts: AsyncIterable<readonly Frame[]>
): Promise<FoundFrames> {
  let found: FoundFrames = { through: null, rows: 0, rowsBehind: 0 }
  for await (const part of parts) {
    const stored = await storedRows(db, schema, part)
    const whole = stored === rowsOf(part) ? part : stored === 0 ? [] : await wholePrefix(db, schema, part)
    const rows = rowsOf(whole)
    found = { through: whole.at(-1) ?? found.through, rows: found.rows + rows, rowsBehind: stored - rows }
    if (whole.length < part.length) break
  }
  const { through } = found
  return { ...found, through: through === null ? null : { epoch: through.epoch, sequence: through.sequence } }
}

/** The first frames that the database has completely, given that it does not have all of them. */
async function wholePrefix (db: Database, schema: PointSchema, part: readonly Frame[]): Promise<readonly Frame[]> {
  let [has, lacks] = [0, part.length]
  while (lacks - has > 1) {
    const middle = (has + lacks) >>> 1
    const prefix = part.slice(0, middle)
    if (await storedRows(db, schema, prefix) === rowsOf(prefix)) has = middle
    else lacks = middle
  }
  return part.slice(0, has)
}

async function storedRows (db: Database, schema: PointSchema, frames: readonly Frame[]): Promise<number> {
  return await countStored(db, schema, frames.map(({ payload }) => telemetryOf(payload)), rowsOf(frames))
}

function rowsOf (frames: readonly Frame[]): number {
  return frames.reduce((sum, { rows }) => sum + rows, 0)
}
