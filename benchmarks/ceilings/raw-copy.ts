/**
 * Ceiling for storing: COPY of the same rows, encoded and sorted in advance, into the same table over one connection.
 */
import { PointColumns } from '../../protocol/columns.js'
import { BUILT_IN } from '../../protocol/catalogue.js'
import { SatelliteTable } from '../../protocol/satellites.js'
import type { PointSchema } from '../../protocol/schema.js'
import { RowBuffer, rowColumns } from '../../lib/pipeline/rows/rows.js'
import { CopySorter } from '../../lib/drain/copy-rows.js'
import { pointOf, satelliteOf } from '../points.js'
import type { RunRecord } from '../result.js'
import { Costs, type Session } from '../session.js'
import { countRows, empty } from '../stored.js'

/** As many as in a worker's COPY under full load. */
const ROWS = 40_000
const SATELLITES = 100

/** Rows to copy. */
export interface CopiedRows {
  readonly schema: PointSchema
  readonly rows: number
  readonly satellites: number
  /** Values of a point, by its number. NaN: null */
  readonly valuesOf: (number: number) => ArrayLike<number>
}

const THREE_METRICS: CopiedRows = {
  schema: BUILT_IN.telemetry.schema,
  rows: ROWS,
  satellites: SATELLITES,
  valuesOf: (number) => {
    const { battery, storage, signal } = pointOf(number, SATELLITES)
    return [battery, storage, signal]
  }
}

/** A complete COPY stream. */
function copyStream ({ schema, rows, satellites, valuesOf }: CopiedRows): Buffer {
  const columns = new PointColumns(schema, rows)
  const table = new SatelliteTable()
  const nowMicros = Date.now() * 1000
  for (let number = 0; number < rows; number++) {
    const satelliteId = satelliteOf(number, satellites)
    const satellite = table.byId(satelliteId)
    if (satellite === null) throw new Error(`${satelliteId} is not an id`)
    columns.values.set(valuesOf(number), columns.push(satellite, nowMicros + number) * schema.metricCount)
  }
  const buffer = new RowBuffer(rows * 64)
  buffer.append(columns)
  return new CopySorter().sort([buffer.take()], rows)
}

/** @param copied default: rows of the three built-in metrics */
export async function measureCopy (session: Session, copied: CopiedRows = THREE_METRICS): Promise<RunRecord> {
  const { db, server, plan } = session
  await empty(db)
  const stream = copyStream(copied)
  const copy = `COPY telemetry (${rowColumns(copied.schema).map((name) => `"${name}"`).join(', ')}) ` +
    'FROM STDIN (FORMAT binary)'
  const copier = await server.connect()
  try {
    const costs = await Costs.begin(session)
    const startMs = performance.now()
    let sent = 0
    while (performance.now() - startMs < plan.seconds * 1000) {
      sent += (await copier.copyAfter([], copy, [stream])).copied
    }
    const seconds = (performance.now() - startMs) / 1000
    // The load is this process.
    const cost = await costs.end(0)
    const stored = await countRows(db)
    const problems = stored === sent ? [] : [`${sent} rows were copied but ${stored} are stored`]
    return { rate: stored / seconds, seconds, sent, acknowledged: sent, stored, ...cost, problems }
  } finally {
    await copier.close()
  }
}
